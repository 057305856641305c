import type { FormatCard } from '../artifact/formats/index.ts';
import type { Target } from '../artifact/formats/onnx/target/target.ts';
import type { BuildOptions } from '../families/family.ts';
import type { Stage } from '../stages/stage.ts';
import type { NamedDataset } from './datasets.ts';
import type { Entry } from './entries.ts';
import type { Gate } from './gates.ts';
import type { RecipeSource } from './source.ts';

/** The model of a recipe: where it is, and how a checkpoint is to be built. */
export interface ModelChoice {
  /** Absolute. */
  readonly path: string;
  /** What the recipe says of the graph of a checkpoint. */
  readonly build: Partial<BuildOptions>;
}

/** A recipe after its schema: every default filled in, every name resolved, every path absolute. */
export interface Recipe {
  readonly source: RecipeSource;
  /** Where relative paths of datasets start, and where `.compress` is. */
  readonly baseDirectory: string;
  readonly model: ModelChoice;
  /** Absolute path of the output folder. */
  readonly output: string;
  readonly seed: number;
  readonly calibration: readonly NamedDataset[];
  /** For stages that train; none: they learn from calibration. */
  readonly training: readonly NamedDataset[];
  readonly evaluation: readonly NamedDataset[];
  readonly stages: readonly Entry<Stage<unknown>>[];
  readonly formats: readonly Entry<FormatCard>[];
  /** Names of metrics; undefined where the recipe leaves the choice. */
  readonly metrics: readonly string[] | undefined;
  readonly gates: readonly Gate[];
  readonly maxMemoryBytes: number;
  readonly threads: number;
  /** Write a README.md beside every artifact. */
  readonly modelCard: boolean;
  /** A numeric fallback inside a stage is an error. */
  readonly strict: boolean;
  /** Where the written files are meant to run; undefined: wherever the newest onnxruntime is. */
  readonly target: Target | undefined;
}
