/** A name as a place in a network of repeated layers. */
interface Place {
  readonly layer: number;
  /** The name without the layer: `self_attn.q_proj`. */
  readonly role: string;
}

/** `model.layers.3.self_attn.q_proj.weight` is `self_attn.q_proj` of layer 3. */
const placeOf = (name: string): Place | undefined => {
  const [, before = '', number, after = ''] = /^(.*?)(?:^|[./_])(\d+)[./](.+)$/.exec(name) ?? [];
  if (number === undefined) return undefined;
  const role = after.replace(/[./]weight$/, '');
  const stem = before.replace(/^(.*[./])?(layers?|h|blocks?)$/, '');
  return { layer: Number(number), role: stem === '' ? role : `${stem} ${role}` };
};

/** Things of repeated layers as a table: a row for each role, a column for each layer. */
export interface LayerGrid<Item> {
  readonly layers: readonly number[];
  readonly rows: readonly { readonly role: string; readonly cells: readonly (Item | undefined)[] }[];
  /** What belongs to no layer. */
  readonly rest: readonly Item[];
}

/** A table that is emptier than this says less than a list. */
const leastFilled = 0.6;

/** Lays items out by layer and role; undefined where their names do not repeat from layer to layer. */
export const layerGrid = <Item extends { readonly name: string }>(
  items: readonly Item[],
): LayerGrid<Item> | undefined => {
  const rest: Item[] = [];
  const byRole = new Map<string, Map<number, Item>>();
  for (const item of items) {
    const place = placeOf(item.name);
    const row = place && (byRole.get(place.role) ?? new Map<number, Item>());
    if (!place || !row || row.has(place.layer)) {
      rest.push(item);
      continue;
    }
    row.set(place.layer, item);
    byRole.set(place.role, row);
  }
  const layers = [...new Set([...byRole.values()].flatMap((row) => [...row.keys()]))].sort((a, b) => a - b);
  const filled = (items.length - rest.length) / (layers.length * byRole.size);
  if (layers.length < 2 || !(filled >= leastFilled)) return undefined;
  const rows = [...byRole].map(([role, row]) => ({ role, cells: layers.map((layer) => row.get(layer)) }));
  return { layers, rows, rest };
};
