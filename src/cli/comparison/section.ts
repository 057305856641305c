import type { ModelAttributionRequest } from '../../recipe/attribution.ts';
import type { NamedReport } from '../../report/comparison/rows.ts';
import type { Style } from '../../reporters/style.ts';
import type { CommandContext } from '../command.ts';

/** Two models, or two runs, that are compared. */
export interface ComparisonRequest {
  /** As they were named. */
  readonly a: string;
  readonly b: string;
  readonly data: readonly string[];
  /** Names of metrics; empty for what suits model and data. */
  readonly metrics: readonly string[];
  readonly seed: number;
  /** How the divergence is followed back to weights; undefined: it is not. */
  readonly attribution: Pick<ModelAttributionRequest, 'by' | 'samples' | 'gain'> | undefined;
  /** Their reports, where both are output folders of runs. */
  readonly runs: readonly [NamedReport, NamedReport] | undefined;
}

/** What one section found. */
export interface ComparisonPart {
  readonly data: unknown;
  text(style: Style): string;
}

/** One way of comparing. Each is a file, and a line in table.ts. */
export interface ComparisonSection {
  /** Key of its data in the JSON document. */
  readonly name: string;
  /** undefined where it has nothing to say of these two. */
  compare(request: ComparisonRequest, context: CommandContext): Promise<ComparisonPart | undefined>;
}
