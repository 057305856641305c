import type { Site } from '../../analysis/sites.ts';
import { type Curvature, gradientDiagonal, gradientMoment, inputMoment, lossScale } from '../../curvature/moments.ts';
import { type Spectrum, spectrumOf } from '../factorize/low-rank.ts';
import type { SiteMoments } from '../factorize/site-moments.ts';
import { diagonalMatrix } from '../factorize/site-moments.ts';
import type { StageContext } from '../stage.ts';

const momentsFrom = (curvature: Curvature, site: Site): SiteMoments => {
  const found = curvature.sites.get(site.name)!;
  const diagonal = found.gradients?.kind === 'diagonal' ? gradientDiagonal(found) : undefined;
  return {
    a: inputMoment(found),
    b: diagonal ? diagonalMatrix(diagonal) : gradientMoment(found),
    scale: lossScale(found),
  };
};

/** Decompositions of sites in the curvature's metric; kept while they fit the memory, made again where they do not. */
export class SiteSpectra {
  readonly #curvature: Curvature;
  readonly #context: Pick<StageContext, 'signal'>;
  readonly #kept = new Map<string, Spectrum>();
  #room: number;

  constructor(curvature: Curvature, context: Pick<StageContext, 'signal' | 'maxMemoryBytes'>) {
    this.#curvature = curvature;
    this.#context = context;
    this.#room = context.maxMemoryBytes;
  }

  async of(site: Site): Promise<Spectrum> {
    const known = this.#kept.get(site.name);
    if (known) return known;
    const made = await spectrumOf(site, momentsFrom(this.#curvature, site), 'two-sided', this.#context.signal);
    const bytes = 16 * Math.min(site.rows, site.columns) * (site.rows + site.columns);
    if (bytes <= this.#room) {
      this.#room -= bytes;
      this.#kept.set(site.name, made);
    }
    return made;
  }
}
