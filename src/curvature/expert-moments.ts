import type { Site } from '../analysis/sites.ts';
import { isRouted } from '../calibration/statistics/cross.ts';
import type { Curvature, Moment, SiteCurvature } from './moments.ts';

type Part = 'matrix' | 'diagonal';

const asMatrix = (moment: Moment, part: Part): Float64Array =>
  part === 'matrix' ? moment.matrix() : moment.diagonal();

/** Means over all experts of a layer of the moments of one kind; kept until those of another layer are asked for. */
class LayerMeans {
  #block: number | undefined;
  readonly #known = new Map<string, Float64Array | undefined>();

  /** Σ over the members' sums by the tokens that all of them saw; undefined where no token was seen. */
  of(block: number | undefined, kind: string, members: readonly Moment[], part: Part): Float64Array | undefined {
    if (block !== this.#block) this.#known.clear();
    this.#block = block;
    const key = `${kind} ${part}`;
    if (!this.#known.has(key)) this.#known.set(key, this.#mean(members, part));
    return this.#known.get(key);
  }

  #mean(members: readonly Moment[], part: Part): Float64Array | undefined {
    const seen = members.filter(({ count }) => count > 0);
    const count = seen.reduce((sum, moment) => sum + moment.count, 0);
    let total: Float64Array | undefined;
    for (const moment of seen) {
      const sums = asMatrix(moment, part);
      if (!total) total = sums.slice();
      else for (let index = 0; index < sums.length; index++) total[index]! += sums[index]!;
    }
    return total?.map((sum) => sum / count);
  }
}

/** An expert's sums as if one more token had reached it, of a shape that its layer decides where it saw few. */
class ExpertMoment implements Moment {
  readonly kind: Moment['kind'];
  readonly n: number;
  readonly count: number;
  readonly #own: Moment;
  readonly #layer: (part: Part) => Float64Array | undefined;

  constructor(own: Moment, layer: (part: Part) => Float64Array | undefined) {
    this.kind = own.kind;
    this.n = own.n;
    this.count = own.count + 1;
    this.#own = own;
    this.#layer = layer;
  }

  diagonal(): Float64Array {
    return this.#sums('diagonal');
  }

  matrix(): Float64Array {
    return this.#sums('matrix');
  }

  #sums(part: Part): Float64Array {
    const layer = this.#layer(part);
    const own = asMatrix(this.#own, part);
    if (!layer) return own;
    const { count, n } = this.#own;
    // The layer stands for n more tokens in the mean: as many as the moment has directions.
    const scale = this.count / (count + n);
    return own.map((sum, index) => scale * (sum + n * layer[index]!));
  }
}

/**
 * The curvature with the moments of each expert shrunk toward those of all experts of its layer, as far as it saw fewer
 * tokens than a moment has directions, and counted as if one more token had reached it: an expert that the data never
 * call is not free to be destroyed. Other sites stay as they are.
 */
export const withLayerMoments = (curvature: Curvature, sites: readonly Site[]): Curvature => {
  const routed = sites.filter((site) => isRouted(site) && curvature.sites.has(site.name));
  if (routed.length === 0) return curvature;
  const means = new LayerMeans();
  const known = new Map(curvature.sites);
  for (const { name, block, role, columns } of routed) {
    const own = curvature.sites.get(name)!;
    const peers = routed.filter((other) => other.block === block && other.role === role && other.columns === columns);
    const peerCurvatures = peers.map((peer) => curvature.sites.get(peer.name)!);
    const shrunk = (kind: string, moment: Moment, of: (peer: SiteCurvature) => Moment | undefined): Moment =>
      new ExpertMoment(moment, (part) =>
        means.of(
          block,
          `${role} ${kind}`,
          peerCurvatures.flatMap((peer) => of(peer) ?? []),
          part,
        ),
      );
    const { inputs, gradients, positions, trace } = own;
    known.set(name, {
      ...own,
      inputs: inputs.map((moment, group) => shrunk(`inputs ${group}`, moment, (peer) => peer.inputs[group])),
      gradients: gradients && shrunk('gradients', gradients, (peer) => peer.gradients),
      positions: positions + 1,
      trace: positions > 0 ? (trace * (positions + 1)) / positions : 0,
    });
  }
  return { ...curvature, sites: known };
};
