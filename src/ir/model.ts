import type { Program } from './graph.ts';

/** A file that belongs to a model and is carried to the output as it is (tokenizer.json, config.json, …). */
export interface CompanionFile {
  /** Name inside the model's folder. */
  readonly name: string;
  /** Where its bytes are. */
  readonly path: string;
}

/**
 * What a recipe works on: a program and what is known about it. Stages return a new Model; tensors are shared
 * until replaced. Roles and blocks are node metadata (see roleKey, blockKey), so that they survive in files.
 */
export interface Model {
  readonly program: Program;
  /** Architecture family that built the program ('llama', 'bert', …); undefined for foreign graphs. */
  readonly family: string | undefined;
  /** Parsed config.json where there is one. */
  readonly config: Readonly<Record<string, unknown>> | undefined;
  readonly companions: readonly CompanionFile[];
  /** Path that the model was opened from, for messages. */
  readonly origin: string;
}

/** Node metadata key: what a weight product is ('q', 'k', 'v', 'o', 'gate', 'up', 'down', 'embedding', 'head', …). */
export const roleKey = 'modelpress.role';
/** Node metadata key: number of the repeated block that a node belongs to, from 0. */
export const blockKey = 'modelpress.block';
/**
 * Node metadata keys: bits of a weight and columns that share a scale ('row' for all), as an allocation has chosen them
 * for the weight product of this node. 'none' for bits: it stays as it is.
 */
export const bitsKey = 'modelpress.bits';
export const groupSizeKey = 'modelpress.group_size';

/** Roles that a family may give to its weight products. */
export const roles = [
  'embedding',
  'position-embedding',
  'type-embedding',
  'q',
  'k',
  'v',
  'qkv',
  'o',
  'gate',
  'up',
  'down',
  'router',
  'expert-gate',
  'expert-up',
  'expert-down',
  'patch-embedding',
  'pooler',
  'classifier',
  'head',
] as const;
export type Role = (typeof roles)[number];
