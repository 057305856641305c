import type { Program } from '../../../ir/graph.ts';
import type { Finding } from '../../../recipe/events.ts';
import type { StageContext } from '../../stage.ts';
import type { SliceOptions } from '../options.ts';

/** What a transform works on. */
export interface TransformInput {
  /** Changed in place. */
  readonly program: Program;
  readonly options: SliceOptions;
  readonly context: StageContext;
  /** Of the measure, what may be left. */
  readonly most: number;
}

/** A way to make a model smaller that is no ranking of channels. */
export interface TransformMethod {
  readonly summary: string;
  /** Whether streams keep their meaning, so that what writes to them can be refitted against the model before. */
  readonly keepsStreams: boolean;
  apply(input: TransformInput): Promise<Finding[]>;
}
