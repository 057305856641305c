// TypeScript for proto/onnx.proto, by buf with the local protoc-gen-es plugin: no network. Does nothing when up to date.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const output = join(root, 'src/artifact/formats/onnx/generated');
const generated = join(output, 'onnx_pb.ts');
const stamp = join(output, 'inputs.sha256');
const inputs = ['proto/onnx.proto', 'buf.yaml', 'buf.gen.yaml', 'node_modules/@bufbuild/protoc-gen-es/package.json'];

const fingerprint = () => {
  const hash = createHash('sha256');
  for (const input of inputs) hash.update(readFileSync(join(root, input)));
  return hash.digest('hex');
};

const wanted = fingerprint();
if (!existsSync(generated) || !existsSync(stamp) || readFileSync(stamp, 'utf8') !== wanted) {
  rmSync(output, { recursive: true, force: true });
  mkdirSync(output, { recursive: true });
  const programs = join(root, 'node_modules', '.bin');
  execFileSync('buf', ['generate'], {
    cwd: root,
    stdio: 'inherit',
    shell: process.platform === 'win32',
    env: { ...process.env, PATH: `${programs}${delimiter}${process.env.PATH ?? ''}` },
  });
  writeFileSync(stamp, wanted);
}
