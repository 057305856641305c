import { measureCost } from '../../analysis/cost.ts';
import type { CostMeasure } from '../../curvature/options.ts';
import { WeightCosts } from '../../curvature/removal/costs.ts';
import { CompressError } from '../../errors.ts';
import type { Program } from '../../ir/graph.ts';
import type { Finding } from '../../recipe/events.ts';
import { measureDivergence } from '../measure-model.ts';
import type { ForecastPoint, StageContext } from '../stage.ts';
import type { StructureAllocation } from './allocate.ts';

const percent = (share: number): string => `${+(100 * share).toPrecision(3)} %`;

/** Gathers what the stage did, and says it at the end. */
export class AutoReport {
  readonly #original: Program;
  readonly #context: StageContext;
  readonly #findings: Finding[] = [];
  #predicted = 0;

  constructor(original: Program, context: StageContext) {
    this.#original = original;
    this.#context = context;
  }

  /** One allocation: what every part became. */
  allocated({ choices, picks, loss, lowerBound }: StructureAllocation, told: readonly Finding[]): void {
    this.#predicted += loss;
    for (const [index, { label, kind, loss: own }] of picks.entries())
      this.#context.emit({
        type: 'site-finished',
        stage: 'auto',
        site: choices[index]!.name,
        facts: { kind, chosen: label, predicted_loss: own },
      });
    const changed = picks.filter(({ kind }) => kind !== 'dense');
    const kinds = [...new Set(changed.flatMap(({ kind }) => kind.split('+')))];
    this.#findings.push(...told, {
      kind: 'fact',
      text: `${changed.length} of ${picks.length} parts changed (${kinds.join(', ') || 'none'}), predicted loss ${loss.toPrecision(3)} nats an item`,
      facts: { predicted_loss: loss, ...(lowerBound === undefined ? {} : { lower_bound: lowerBound }) },
    });
  }

  /** What each amount of a cost would buy. */
  forecast(points: readonly ForecastPoint[], measure: CostMeasure): void {
    const text = points.map(({ share, loss }) => `${percent(share)} ${loss.toPrecision(3)}`).join('; ');
    this.#findings.push({
      kind: 'fact',
      text: `predicted loss in nats an item by what is left of the ${measure}: ${text}`,
      facts: Object.fromEntries(points.map(({ share, loss }) => [`left ${percent(share)}`, loss])),
    });
  }

  /** An attempt of a search. */
  tried(what: string, measured: number, unit: string): void {
    this.#findings.push({ kind: 'fact', text: `${what}: ${measured.toPrecision(3)} ${unit}`, facts: { measured } });
  }

  /** Findings of stages that the work was handed to. */
  told(findings: readonly Finding[]): void {
    this.#findings.push(...findings);
  }

  /** Everything, with the divergence of the result as it is measured on calibration samples. */
  async findings(result: Program): Promise<Finding[]> {
    const [before, after] = [new WeightCosts(this.#original, 'all').total, new WeightCosts(result, 'all').total];
    const [bytesBefore, bytesAfter] = [measureCost(this.#original).storedBytes, measureCost(result).storedBytes];
    const share = (a: number, b: number): string => percent(a / Math.max(1, b));
    const costs: Finding = {
      kind: 'fact',
      text: `left: ${share(after.parameters, before.parameters)} of the parameters, ${share(after.operations, before.operations)} of the operations, ${share(bytesAfter, bytesBefore)} of the bytes`,
      facts: {
        parameters_before: before.parameters,
        parameters_after: after.parameters,
        operations_before: before.operations,
        operations_after: after.operations,
        bytes_before: bytesBefore,
        bytes_after: bytesAfter,
      },
    };
    return [costs, ...(await this.#comparison(result)), ...this.#findings];
  }

  /** Predicted against measured; nothing for models whose outputs are no classes. */
  async #comparison(result: Program): Promise<Finding[]> {
    const predicted = this.#predicted;
    try {
      const measured = await measureDivergence(result, this.#original, this.#context.calibration!, this.#context);
      return [
        {
          kind: 'fact',
          text: `predicted loss ${predicted.toPrecision(3)}, measured ${measured.toPrecision(3)} nats an item on calibration samples`,
          facts: { predicted_loss: predicted, measured_loss: measured },
        },
      ];
    } catch (error) {
      if (!(error instanceof CompressError) || error.code === 'internal') throw error;
      return [{ kind: 'fact', text: `the divergence of the result cannot be measured: ${error.message}` }];
    }
  }
}
