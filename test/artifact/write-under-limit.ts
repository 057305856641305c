import { formats } from '../../src/artifact/formats/index.ts';
import { writeArtifact } from '../../src/artifact/write.ts';
import { formatError } from '../../src/errors.ts';
import { tinyModel } from './tiny-models.ts';

/** Writes the tiny model into the folder given, and says how that went; run under a limit on file sizes. */
const [output = ''] = process.argv.slice(2);
const [card] = formats;
try {
  await writeArtifact({
    output,
    inputs: [],
    model: tinyModel(),
    formats: card ? [{ card, options: card.options.parse({}) }] : [],
    facts: { version: '0.0.0', family: undefined, recipe: undefined, inputs: [], metrics: [], findings: [] },
  });
  process.stdout.write('written');
} catch (error) {
  process.stdout.write(formatError(error));
}
