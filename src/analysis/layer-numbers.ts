/** Names of a layer's parts, as checkpoints and caches number them: `model.layers.3.…`, `present.3.key`. */
const numbered = /(^|[./])(layers|layer|h|blocks|present|past_key_values)\.(\d+)(?=[./#]|$)/;

/** The number of the layer that a name belongs to, if it belongs to one. */
export const layerNumber = (name: string): number | undefined => {
  const found = numbered.exec(name)?.[3];
  return found === undefined ? undefined : Number(found);
};

/** A name with another number of its layer; as it is where the layer is not among `numbers`. */
export const renumbered = (name: string, numbers: ReadonlyMap<number, number>): string =>
  name.replace(numbered, (whole, before: string, word: string, digits: string) => {
    const number = numbers.get(Number(digits));
    return number === undefined ? whole : `${before}${word}.${number}`;
  });

/**
 * A configuration whose layers come from those of another: keys that count layers, and lists with an entry a layer.
 * @param sources for each layer the number of the one that it comes from
 * @param total layers that there were
 */
export const configOfLayers = (
  config: Readonly<Record<string, unknown>> | undefined,
  sources: readonly number[],
  total: number,
): Readonly<Record<string, unknown>> | undefined => {
  if (!config) return undefined;
  const changed: Record<string, unknown> = { ...config };
  for (const key of ['num_hidden_layers', 'n_layer', 'num_layers'])
    if (config[key] === total) changed[key] = sources.length;
  for (const [key, value] of Object.entries(config))
    if (Array.isArray(value) && value.length === total && key.includes('layer'))
      changed[key] = sources.map((layer) => value[layer] as unknown);
  return changed;
};
