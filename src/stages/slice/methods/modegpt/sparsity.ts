/** What no layer may lose more of. */
const most = 0.8;
/** ε of the softmax (MoDeGPT, Lin et al. 2025, section 3.3). */
const temperature = 0.1;

/**
 * Share that each layer loses so that the mean is `mean`: φ_l ∝ softmax(−BI_l ∕ ε), with BI the block influence; what is
 * beyond the greatest share goes to the other layers.
 */
export const layerSparsities = (influences: readonly number[], mean: number): number[] => {
  const count = influences.length;
  const least = Math.min(...influences);
  const weights = influences.map((influence) => Math.exp(-(influence - least) / temperature));
  const found = new Array<number>(count).fill(0);
  const open = new Set(found.keys());
  let left = mean * count;
  while (open.size > 0 && left > 1e-12) {
    const sum = [...open].reduce((total, layer) => total + weights[layer]!, 0);
    const full = [...open].filter((layer) => (left * weights[layer]!) / sum >= most);
    if (full.length === 0) {
      for (const layer of open) found[layer] = (left * weights[layer]!) / sum;
      return found;
    }
    for (const layer of full) {
      found[layer] = most;
      open.delete(layer);
      left -= most;
    }
  }
  return found;
};
