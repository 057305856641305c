import { findBlocks } from '../../analysis/blocks.ts';
import type { Dataset } from '../../calibration/dataset.ts';
import { measureDivergences, type WeightChange } from '../../curvature/measured.ts';
import type { Curvature } from '../../curvature/moments.ts';
import { programFingerprint } from '../../ir/fingerprint.ts';
import type { Program } from '../../ir/graph.ts';
import { hashBytes } from '../../kernels/index.ts';
import type { StageContext } from '../stage.ts';
import { describeFormat, type Format } from './formats.ts';
import type { SensitivityOptions } from './options.ts';
import { roundingOf } from './rounding.ts';
import type { Unit } from './units.ts';

export interface UnitChange {
  readonly unit: Unit;
  readonly format: Format;
}

export interface UnitMeasurement {
  readonly program: Program;
  /** What divergences are measured on. */
  readonly samples: Dataset;
  /** What the curvature, by which weights are rounded, was collected on. */
  readonly calibration: Dataset;
  readonly curvature: Curvature | undefined;
  readonly options: SensitivityOptions;
  readonly context: StageContext;
}

export const changeName = ({ unit, format }: UnitChange): string => `${unit.name} ${describeFormat(format)}`;

/** Everything besides the change itself that its divergence depends on. */
const entryOf = ({ program, samples, calibration, options, context }: UnitMeasurement): string => {
  const rounding = options.rounding === 'gptq' ? ['gptq', calibration.fingerprint, context.seed] : ['rtn'];
  const content = [programFingerprint(program), samples.fingerprint, options.grid, ...rounding];
  return `divergences-${hashBytes(new TextEncoder().encode(JSON.stringify(content)))}`;
};

const asNumber = (bytes: Uint8Array | undefined): number | undefined =>
  bytes && (JSON.parse(new TextDecoder().decode(bytes)) as number);

/**
 * The divergence in nats an item of each change alone, by name. What was measured before, in this run or another, is
 * taken from the shared store; what is measured is put there block by block, so that a stopped run goes on where it was.
 */
export const measureChanges = async (
  changes: readonly UnitChange[],
  measurement: UnitMeasurement,
): Promise<Map<string, number>> => {
  const { program, samples, curvature, options, context } = measurement;
  const entry = entryOf(measurement);
  const found = new Map<string, number>();
  const missing: UnitChange[] = [];
  for (const change of changes) {
    const kept = asNumber(context.shared.get(`${entry}/${changeName(change)}`));
    if (kept === undefined) missing.push(change);
    else found.set(changeName(change), kept);
  }
  const blocks = findBlocks(program);
  const firstBlock = ({ unit }: UnitChange): number =>
    Math.min(
      ...unit.sites.map((site) => blocks.findIndex((block) => block.sites.some(({ name }) => name === site.name))),
    );
  const places = new Map(missing.map((change) => [change, firstBlock(change)]));
  await measureDivergences({
    program,
    dataset: samples,
    context,
    blocks,
    changesIn: (block) =>
      missing
        .filter((change) => places.get(change) === block.index)
        .map(
          (change): WeightChange => ({
            name: changeName(change),
            sites: [change.unit.sites[0]],
            matrixOf: (site) =>
              roundingOf(change.unit, curvature?.sites.get(site.name), options, context.signal).round(change.format),
          }),
        ),
    measured: (_, divergences) => {
      for (const [name, nats] of divergences) {
        context.shared.put(`${entry}/${name}`, new TextEncoder().encode(JSON.stringify(nats)));
        found.set(name, nats);
      }
    },
  });
  return found;
};
