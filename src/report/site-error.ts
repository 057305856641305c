/** Facts of a site that say how much it lost, the most telling one first. */
const errorFacts = ['predicted_loss', 'predicted', 'output_error', 'weight_error', 'error_after'] as const;

/** A site's loss in nats, as the curvature predicts it: losses of sites add up. */
const additive: readonly string[] = ['predicted_loss', 'predicted'];

/** How much a site lost. */
export interface SiteError {
  readonly name: string;
  readonly value: number;
  /** Errors of several sites can be added. */
  readonly adds: boolean;
}

/** The error that a site's facts name; undefined where they name none. */
export const siteError = (facts: Readonly<Record<string, unknown>>): SiteError | undefined => {
  for (const name of errorFacts) {
    const value = facts[name];
    if (typeof value === 'number') return { name: name.replaceAll('_', ' '), value, adds: additive.includes(name) };
  }
  return undefined;
};
