/** Process exit codes of `compress`. */
export const exitCodes = { done: 0, bug: 1, user: 2, gate: 3, interrupted: 130 } as const;
export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** What kind of trouble an error is; decides the exit code and which documentation section it links to. */
export type ErrorCode =
  | 'usage' // a command line or an option is wrong
  | 'recipe' // a recipe does not follow its schema
  | 'not-found' // a file, a tensor, a node or a key does not exist
  | 'malformed' // a file's bytes are not what its format asks for
  | 'unsafe' // a file asks for something that would leave its folder or exhaust the machine
  | 'unsupported' // valid, but not something this version can do
  | 'mismatch' // two things that must agree do not (shapes, dtypes, vocabularies)
  | 'data' // calibration or evaluation data cannot be used
  | 'numeric' // numbers that cannot be worked with (NaN, Inf, not positive definite)
  | 'resource' // out of memory, disk full, not writable
  | 'gate' // a quality gate failed
  | 'interrupted' // the user asked to stop
  | 'internal'; // a broken promise of our own code

/** Where something is wrong: every field that is known is filled. Lines and columns count from 1, offsets from 0. */
export interface Where {
  readonly file?: string;
  readonly line?: number;
  readonly column?: number;
  readonly byteOffset?: number;
  readonly tensor?: string;
  readonly node?: string;
  readonly site?: string;
  /** Dotted path of a recipe or configuration key. */
  readonly key?: string;
  /** Command-line flag that gave the value. */
  readonly flag?: string;
}

export interface ErrorFacts {
  readonly code: ErrorCode;
  /** What is wrong and what was found, in one or two sentences, without a trailing hint. */
  readonly message: string;
  readonly where?: Where;
  /** What to do about it. */
  readonly hint?: string;
  readonly cause?: unknown;
}

/** The one error type of the project: facts, not prose; `formatError` words them for people. */
export class CompressError extends Error {
  override readonly name = 'CompressError';
  readonly code: ErrorCode;
  readonly where: Where;
  readonly hint: string | undefined;

  constructor(facts: ErrorFacts) {
    super(facts.message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = facts.code;
    this.where = facts.where ?? {};
    this.hint = facts.hint;
  }
}

/** Several problems found together (all problems of a recipe, all bad tensors of a file). */
export class CompressErrors extends CompressError {
  readonly errors: readonly CompressError[];

  constructor(errors: readonly CompressError[]) {
    const first = errors[0];
    super({
      code: first?.code ?? 'internal',
      message: errors.length === 1 ? (first?.message ?? '') : `${errors.length} problems found`,
      ...(first && errors.length === 1 ? { where: first.where } : {}),
    });
    this.errors = errors;
  }
}

/** A broken promise of our own code: exit code 1. */
export const internalError = (message: string, where?: Where): CompressError =>
  new CompressError({
    code: 'internal',
    message,
    ...(where ? { where } : {}),
    hint: 'This is a bug in modelpress: please report it.',
  });

/** The exit code that belongs to anything thrown. Errors that are not ours are our bugs. */
export const exitCodeOf = (error: unknown): ExitCode => {
  if (!(error instanceof CompressError)) return exitCodes.bug;
  if (error.code === 'internal') return exitCodes.bug;
  if (error.code === 'gate') return exitCodes.gate;
  if (error.code === 'interrupted') return exitCodes.interrupted;
  return exitCodes.user;
};

/** `file:line:column`, then flag, key, tensor, node, site and byte offset, as far as they are known. */
export const formatWhere = (where: Where): string => {
  const position = [where.file, where.line, where.column].filter((part) => part !== undefined).join(':');
  const parts = [
    position,
    where.flag,
    where.key && `key ${where.key}`,
    where.tensor && `tensor ${where.tensor}`,
    where.node && `node ${where.node}`,
    where.site && `site ${where.site}`,
    where.byteOffset !== undefined && `byte ${where.byteOffset}`,
  ];
  return parts.filter(Boolean).join(', ');
};

/** The words of an error for people: place, message, hint; one block per problem, no stack. */
export const formatError = (error: unknown): string => {
  if (error instanceof CompressErrors && error.errors.length > 0) return error.errors.map(formatError).join('\n');
  if (!(error instanceof CompressError))
    return `internal error: ${error instanceof Error ? error.message : String(error)}`;
  const where = formatWhere(error.where);
  return `${where ? `${where}: ` : ''}${error.message}${error.hint ? `\n  hint: ${error.hint}` : ''}`;
};
