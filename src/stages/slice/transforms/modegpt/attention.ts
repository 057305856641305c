import { findSites, type Site } from '../../../../analysis/sites.ts';
import type { Node, Program, Value } from '../../../../ir/graph.ts';
import { PackedTensor } from '../../../../ir/packed-tensor.ts';
import { readInts } from '../../../../ir/read.ts';
import { constantOf } from '../../../../ir/walk.ts';

/** A product of an attention and the nodes between it and where heads meet. */
export interface AttentionPath {
  readonly site: Site;
  readonly nodes: ReadonlySet<Node>;
  readonly heads: number;
  /** Dimensions of a head. */
  readonly size: number;
}

/** An attention in plain operators whose heads may become narrower. */
export interface Attention {
  readonly query: AttentionPath;
  readonly key: AttentionPath;
  readonly value: AttentionPath;
  /** Its heads are those of the query, its size that of the values. */
  readonly output: AttentionPath;
  /** Halves of queries and keys are turned against each other by positions. */
  readonly rotary: boolean;
}

export interface Attentions {
  readonly found: readonly Attention[];
  /** Why others are left as they are, by the Softmax. */
  readonly left: readonly { readonly name: string; readonly reason: string }[];
}

/** Operators through which heads are followed: those that move elements, and products and sums with something known. */
const passed = new Set([
  'Reshape',
  'Transpose',
  'Unsqueeze',
  'Squeeze',
  'Mul',
  'Div',
  'Add',
  'Concat',
  'Split',
  'Neg',
  'Identity',
  'Cast',
]);

interface Trace {
  readonly sites: ReadonlySet<Site>;
  readonly nodes: ReadonlySet<Node>;
  readonly blocked: string | undefined;
}

/** The products that a value comes from, and what lies between. */
class Tracer {
  readonly #byOutput: ReadonlyMap<Value, Site>;
  readonly #known = new Map<Value, Trace>();

  constructor(sites: readonly Site[]) {
    this.#byOutput = new Map(sites.filter(({ op }) => op !== 'Gather').map((site) => [site.output, site]));
  }

  trace(value: Value): Trace {
    const known = this.#known.get(value);
    if (known) return known;
    const found = this.#find(value);
    this.#known.set(value, found);
    return found;
  }

  #find(value: Value): Trace {
    const site = this.#byOutput.get(value);
    if (site) return { sites: new Set([site]), nodes: new Set(), blocked: undefined };
    const node = value.producer;
    if (!node) return { sites: new Set(), nodes: new Set(), blocked: undefined };
    const below = node.inputs.flatMap((input) => (input ? [this.trace(input)] : []));
    const sites = new Set(below.flatMap((trace) => [...trace.sites]));
    if (sites.size === 0) return { sites, nodes: new Set(), blocked: undefined };
    const own = node.domain === '' && passed.has(node.op) ? undefined : `${node.op} stands between products and heads`;
    return {
      sites,
      nodes: new Set([node, ...below.flatMap((trace) => [...trace.nodes])]),
      blocked: own ?? below.find(({ blocked }) => blocked !== undefined)?.blocked,
    };
  }
}

/** The lengths that a Reshape gives, where they are constant. */
export const targetOf = (node: Node): number[] | undefined => {
  const tensor = node.op === 'Reshape' ? constantOf(node.inputs[1]) : undefined;
  return tensor && readInts(tensor);
};

/** Why a site's weight cannot be cut; undefined where it can. */
const obstacleOf = (site: Site): string | undefined => {
  const tensor = constantOf(site.weight);
  if (site.op !== 'MatMul' && site.op !== 'Gemm') return `${site.op} computes heads`;
  if (!tensor || tensor instanceof PackedTensor || site.weight.uses.length > 1)
    return `the weight of ${site.name} is shared or quantized`;
  return site.node.inputs[site.weightIndex] === site.weight
    ? undefined
    : `the weight of ${site.name} is read through a Transpose`;
};

const pathOf = ({ sites, nodes, blocked }: Trace): AttentionPath | string => {
  if (blocked !== undefined) return blocked;
  const [site, ...others] = sites;
  if (!site || others.length > 0) return 'several products are mixed before the heads';
  const why = obstacleOf(site);
  if (why) return why;
  const targets = [...nodes].flatMap((node) => targetOf(node) ?? []).length;
  const first = [...nodes]
    .map(targetOf)
    .find((target) => target && target.length >= 3 && target.at(-1)! * target.at(-2)! === site.rows);
  if (targets === 0 || !first) return `no Reshape divides the outputs of ${site.name} into heads`;
  return { site, nodes, heads: first.at(-2)!, size: first.at(-1)! };
};

/** The product that reads the mixed heads, and what lies between. */
const outputPath = (mixed: Value, sites: readonly Site[]): { site: Site; nodes: Set<Node> } | string => {
  const nodes = new Set<Node>();
  let value = mixed;
  for (;;) {
    const [use, ...others] = value.uses;
    if (!use || others.length > 0) return 'mixed heads are read by several nodes';
    const site = sites.find(({ node, input }) => node === use.node && input === value);
    if (site) return obstacleOf(site) ?? { site, nodes };
    if (!['Reshape', 'Transpose', 'Identity'].includes(use.node.op)) return `${use.node.op} reads the mixed heads`;
    nodes.add(use.node);
    value = use.node.outputs[0]!;
  }
};

/** The product of two activations that a Softmax takes its scores from. */
const scoresOf = (softmax: Node): Node | undefined => {
  let value = softmax.inputs[0];
  while (value?.producer) {
    const node: Node = value.producer;
    if (node.op === 'MatMul') return constantOf(node.inputs[1]) ? undefined : node;
    if (!['Add', 'Mul', 'Div', 'Where', 'Cast', 'Identity'].includes(node.op)) return undefined;
    value = node.inputs.find((input) => input?.producer && !constantOf(input) && leadsToProduct(input)) ?? undefined;
  }
  return undefined;
};

const leadsToProduct = (value: Value): boolean => {
  const node = value.producer;
  if (!node) return false;
  if (node.op === 'MatMul') return true;
  return (
    ['Add', 'Mul', 'Div', 'Where', 'Cast', 'Identity'].includes(node.op) &&
    node.inputs.some((input) => input && leadsToProduct(input))
  );
};

const attentionAt = (softmax: Node, sites: readonly Site[], tracer: Tracer): Attention | string | undefined => {
  const scores = scoresOf(softmax);
  const mix = softmax.outputs[0]!.uses.find(({ node }) => node.op === 'MatMul')?.node;
  if (!scores || !mix) return undefined;
  const query = pathOf(tracer.trace(scores.inputs[0]!));
  if (typeof query === 'string') return query;
  const key = pathOf(tracer.trace(scores.inputs[1]!));
  if (typeof key === 'string') return key;
  const value = pathOf(tracer.trace(mix.inputs.find((input) => input !== softmax.outputs[0])!));
  if (typeof value === 'string') return value;
  const output = outputPath(mix.outputs[0]!, sites);
  if (typeof output === 'string') return output;
  if (new Set([query.site, key.site, value.site]).size < 3) return 'one product computes queries, keys and values';
  const splits = [query, key].map(({ nodes }) => [...nodes].filter(({ op }) => op === 'Split').length);
  if (splits[0] !== splits[1] || splits[0]! > 1) return 'queries and keys are turned by positions in an unknown way';
  if (
    query.size !== key.size ||
    query.heads % key.heads !== 0 ||
    value.heads !== key.heads ||
    output.site.columns !== query.heads * value.size
  )
    return 'heads of queries, keys, values and outputs do not fit together';
  return {
    query,
    key,
    value,
    output: { ...output, heads: query.heads, size: value.size },
    rotary: splits[0] === 1,
  };
};

/** Attentions of a program in plain operators, found by what flows into their Softmax. */
export const findAttentions = (program: Program): Attentions => {
  const sites = findSites(program).filter(({ graph }) => graph === program.graph);
  const tracer = new Tracer(sites);
  const found: Attention[] = [];
  const left: { name: string; reason: string }[] = [];
  for (const node of program.graph.nodes) {
    if (node.op !== 'Softmax') continue;
    const attention = attentionAt(node, sites, tracer);
    if (typeof attention === 'string') left.push({ name: node.name || node.outputs[0]!.name, reason: attention });
    else if (attention) found.push(attention);
  }
  return { found, left };
};
