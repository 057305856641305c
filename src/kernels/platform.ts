/** A platform that a package with the addon is published for. */
export interface Platform {
  readonly os: NodeJS.Platform;
  readonly cpu: NodeJS.Architecture;
  /** Only on Linux: which C library. */
  readonly libc?: 'glibc' | 'musl';
  /** Rust's name of it. */
  readonly target: string;
}

/** Every platform with a package of its own; others build the addon. */
export const platforms: readonly Platform[] = [
  { os: 'linux', cpu: 'x64', libc: 'glibc', target: 'x86_64-unknown-linux-gnu' },
  { os: 'linux', cpu: 'arm64', libc: 'glibc', target: 'aarch64-unknown-linux-gnu' },
  { os: 'linux', cpu: 'x64', libc: 'musl', target: 'x86_64-unknown-linux-musl' },
  { os: 'darwin', cpu: 'arm64', target: 'aarch64-apple-darwin' },
  { os: 'darwin', cpu: 'x64', target: 'x86_64-apple-darwin' },
  { os: 'win32', cpu: 'x64', target: 'x86_64-pc-windows-msvc' },
];

/** '@modelpress/native-linux-x64-gnu' and the like, as napi-rs names them. */
export const packageNameOf = ({ os, cpu, libc }: Platform): string => {
  const ending = libc === undefined ? (os === 'win32' ? '-msvc' : '') : libc === 'glibc' ? '-gnu' : '-musl';
  return `@modelpress/native-${os}-${cpu}${ending}`;
};

/** The C library that this process runs on; undefined on systems other than Linux. */
const currentLibc = (): Platform['libc'] => {
  if (process.platform !== 'linux') return undefined;
  const report = process.report.getReport() as { readonly header?: { readonly glibcVersionRuntime?: string } };
  return report.header?.glibcVersionRuntime === undefined ? 'musl' : 'glibc';
};

/** The platform of this process, where a package is published for it. */
export const currentPlatform = (): Platform | undefined => {
  const candidates = platforms.filter(({ os, cpu }) => os === process.platform && cpu === process.arch);
  if (candidates.length === 0) return undefined;
  const libc = currentLibc();
  return candidates.find((candidate) => candidate.libc === libc);
};

/** Name of the package with the addon for this process. */
export const platformPackage = (): string | undefined => {
  const platform = currentPlatform();
  return platform && packageNameOf(platform);
};
