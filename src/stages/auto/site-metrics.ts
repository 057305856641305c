import type { Site } from '../../analysis/sites.ts';
import {
  type Curvature,
  gradientDiagonal,
  gradientMoment,
  inputMoment,
  lossScale,
  positionsPerItem,
} from '../../curvature/moments.ts';
import { type Spectrum, spectrumOf } from '../factorize/low-rank.ts';
import { diagonalMatrix, type SiteMoments } from '../factorize/site-moments.ts';
import type { StageContext } from '../stage.ts';

/** What the curvature says of sites; decompositions are kept while they fit the memory, made again where they do not. */
export class SiteMetrics {
  readonly #curvature: Curvature;
  readonly #context: Pick<StageContext, 'signal'>;
  readonly #kept = new Map<string, Spectrum>();
  #room: number;

  constructor(curvature: Curvature, context: Pick<StageContext, 'signal' | 'maxMemoryBytes'>) {
    this.#curvature = curvature;
    this.#context = context;
    this.#room = context.maxMemoryBytes;
  }

  /** A, B and nats per unit of tr(B ΔW A ΔWᵀ); read when asked for. */
  momentsOf({ name }: Pick<Site, 'name'>): SiteMoments {
    const found = this.#curvature.sites.get(name)!;
    const diagonal = found.gradients?.kind === 'diagonal' ? gradientDiagonal(found) : undefined;
    return {
      a: inputMoment(found),
      b: diagonal ? diagonalMatrix(diagonal) : gradientMoment(found),
      scale: lossScale(found),
    };
  }

  /** Times that the product is made for an item. */
  positionsPerItem({ name }: Pick<Site, 'name'>): number {
    return positionsPerItem(this.#curvature.sites.get(name)!);
  }

  /** A weight's two-sided decomposition, the first time as it is then. */
  async spectrumOf(site: Site): Promise<Spectrum> {
    const known = this.#kept.get(site.name);
    if (known) return known;
    const made = await spectrumOf(site, this.momentsOf(site), 'two-sided', this.#context.signal);
    const bytes = 16 * Math.min(site.rows, site.columns) * (site.rows + site.columns);
    if (bytes <= this.#room) {
      this.#room -= bytes;
      this.#kept.set(site.name, made);
    }
    return made;
  }
}
