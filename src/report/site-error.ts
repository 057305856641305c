/** Facts of a site that say how much it lost, the most telling one first. */
const errorFacts = ['predicted_loss', 'predicted', 'output_error', 'weight_error', 'error_after'] as const;

/** Facts in nats, as the curvature predicts them: losses of sites add up. */
const additive: readonly string[] = ['predicted_loss', 'predicted'];

/** What a stage that looks at several formats says of each begins with this. */
const lossOfFormat = 'loss ';

/** How much a site lost. */
export interface SiteError {
  readonly name: string;
  readonly value: number;
  /** Errors of several sites can be added. */
  readonly adds: boolean;
}

/** The loss of the format that was chosen for a site; of the worst one where none was. */
const formatLoss = (facts: Readonly<Record<string, unknown>>): SiteError | undefined => {
  const chosen = facts[`${lossOfFormat}${facts.chosen}`];
  if (typeof chosen === 'number') return { name: 'loss of the chosen format', value: chosen, adds: true };
  const losses = Object.entries(facts).flatMap(([name, value]) =>
    name.startsWith(lossOfFormat) && typeof value === 'number' ? [value] : [],
  );
  return losses.length > 0 ? { name: 'loss of the worst format', value: Math.max(...losses), adds: true } : undefined;
};

/** The error that a site's facts name; undefined where they name none. */
export const siteError = (facts: Readonly<Record<string, unknown>>): SiteError | undefined => {
  for (const name of errorFacts) {
    const value = facts[name];
    if (typeof value === 'number') return { name: name.replaceAll('_', ' '), value, adds: additive.includes(name) };
  }
  return formatLoss(facts);
};
