import type { Site } from '../../../../analysis/sites.ts';
import type { Graph, Node, Program, Value } from '../../../../ir/graph.ts';
import { constantOf, graphsWithin } from '../../../../ir/walk.ts';
import { clampBounds, dataInputs, integerOperatorOf } from './operators.ts';

/** Which values of a graph become integers, and which of them share a grid. Made without reading data. */
export interface QdqPlan {
  readonly products: readonly Site[];
  /** Nodes between products that run on integers. */
  readonly integerNodes: ReadonlySet<Node>;
  /** Relu and Clip nodes whose work the quantization of their output may take over, by that output. */
  readonly clamps: ReadonlyMap<Value, Node>;
  /** Computed values that are quantized, in execution order, each with the first member of its group. */
  readonly grids: ReadonlyMap<Value, Value>;
  /** Quantized values that a product or an integer node computes: nothing reads their floating-point form. */
  readonly integerMade: ReadonlySet<Value>;
  /** Constants that arithmetic on integers reads. */
  readonly constants: readonly Value[];
}

export interface PlanOptions {
  /** 'float' leaves arithmetic alone whose result reaches no product. */
  readonly head: 'float' | 'quantized';
  /** Values that cannot be quantized, since nothing is known of their range. */
  readonly without?: ReadonlySet<Value>;
}

/** Every value that a graph or a body hands out. */
const outputValues = (program: Program): Set<Value> =>
  new Set([...graphsWithin(program.graph)].flatMap((graph) => graph.outputs));

/** Relu and Clip nodes that alone read the result of a product or of an integer operator. */
const findClamps = (program: Program, makers: ReadonlySet<Node>, outputs: ReadonlySet<Value>): Map<Value, Node> => {
  const found = new Map<Value, Node>();
  for (const graph of graphsWithin(program.graph))
    for (const node of graph.nodes) {
      const input = node.inputs[0];
      const output = node.outputs[0];
      if (!clampBounds(node) || !input?.producer || !output) continue;
      const alone = input.uses.length === 1 && !outputs.has(input);
      if (alone && input.producer.graph === graph && makers.has(input.producer) && !clampBounds(input.producer))
        found.set(output, node);
    }
  return found;
};

/** Groups of values that share a grid: each value points to the first member of its group. */
class Groups {
  readonly #parents = new Map<Value, Value>();

  find(value: Value): Value {
    const parent = this.#parents.get(value);
    return parent && parent !== value ? this.find(parent) : value;
  }

  join(first: Value, second: Value): void {
    const [a, b] = [this.find(first), this.find(second)];
    if (a !== b) this.#parents.set(b, a);
  }
}

/** Decides which nodes work on integers: see `plan`. */
class Planner {
  readonly #program: Program;
  readonly #products: readonly Site[];
  readonly #productNodes: ReadonlyMap<Node, Site>;
  readonly #required: ReadonlySet<Value>;
  readonly #outputs: ReadonlySet<Value>;
  readonly #clamps: ReadonlyMap<Value, Node>;
  readonly #nodes: Set<Node>;

  constructor(program: Program, products: readonly Site[], options: PlanOptions) {
    this.#program = program;
    this.#products = products;
    this.#productNodes = new Map(products.map((site) => [site.node, site]));
    this.#required = new Set(products.map((site) => site.input));
    this.#outputs = outputValues(program);
    const all = [...graphsWithin(program.graph)].flatMap((graph) => graph.nodes);
    const touches = (node: Node): boolean =>
      [...node.inputs, ...node.outputs].some((value) => value && options.without?.has(value));
    const candidates = all.filter((node) => integerOperatorOf(node) && !this.#productNodes.has(node) && !touches(node));
    this.#clamps = findClamps(program, new Set([...this.#productNodes.keys(), ...candidates]), this.#outputs);
    const absorbed = new Set(this.#clamps.values());
    this.#nodes = new Set(candidates.filter((node) => !absorbed.has(node)));
    this.#shrink(options);
  }

  /** Takes candidates away until each one left has integers to read and (unless the head is wanted) readers of integers. */
  #shrink(options: PlanOptions): void {
    for (let before = -1; before !== this.#nodes.size; ) {
      before = this.#nodes.size;
      for (const node of [...this.#nodes])
        if (!this.#readsIntegers(node) || (options.head === 'float' && !this.#feedsIntegers(node)))
          this.#nodes.delete(node);
    }
  }

  /** The node whose result a value holds, a clamp that will be absorbed left out. */
  #makerOf(value: Value): Node | undefined {
    return this.#clamps.get(value)?.inputs[0]?.producer ?? value.producer;
  }

  #isIntegerMade(value: Value): boolean {
    const maker = this.#makerOf(value);
    return maker !== undefined && (this.#productNodes.has(maker) || this.#nodes.has(maker));
  }

  #readsIntegers(node: Node): boolean {
    const values = this.#dataValues(node);
    const computed = values.filter((value) => !constantOf(value));
    const passes = integerOperatorOf(node)?.behaviour === 'passing';
    const suits = (value: Value): boolean => (passes ? this.#isIntegerMade(value) : this.#isRounded(value));
    return computed.length > 0 && computed.every((value) => suits(value) || this.#required.has(value));
  }

  /**
   * Whether a value that integers make has to be rounded whatever reads it: matrix products hand out floats at no cost,
   * so that arithmetic on their results is more exact in floats.
   */
  #isRounded(value: Value): boolean {
    const maker = this.#makerOf(value);
    if (!maker) return false;
    const site = this.#productNodes.get(maker);
    if (site) return this.#needsQuantizedOutput(site) || this.#required.has(value);
    if (!this.#nodes.has(maker)) return false;
    return (
      integerOperatorOf(maker)?.behaviour === 'arithmetic' ||
      this.#dataValues(maker).every((read) => this.#isRounded(read) || this.#required.has(read))
    );
  }

  #feedsIntegers(node: Node): boolean {
    return node.outputs.every((output) => {
      if (!output) return true;
      const carrier = this.#carrierOf(output);
      return !this.#outputs.has(carrier) && carrier.uses.every((use) => this.#readsAsInteger(use.node, use.index));
    });
  }

  #readsAsInteger(node: Node, index: number): boolean {
    const product = this.#productNodes.get(node);
    if (product) return index === 0;
    const operator = this.#nodes.has(node) ? integerOperatorOf(node) : undefined;
    return operator !== undefined && dataInputs(node, operator).includes(index);
  }

  #dataValues(node: Node): Value[] {
    const operator = integerOperatorOf(node);
    return operator ? dataInputs(node, operator).map((index) => node.inputs[index]!) : [];
  }

  /** The value that will be quantized in place of a node's output: that of the clamp behind it, where there is one. */
  #carrierOf(output: Value): Value {
    const reader = output.uses.length === 1 ? output.uses[0]?.node : undefined;
    const clamped = reader?.outputs[0];
    return clamped && this.#clamps.get(clamped) === reader ? clamped : output;
  }

  /** Convolutions only run on integers when their result is quantized; matrix products may hand out floats. */
  #needsQuantizedOutput(site: Site): boolean {
    return site.op === 'Conv' || site.op === 'ConvTranspose';
  }

  plan(): QdqPlan {
    const wanted = new Set<Value>(this.#required);
    for (const site of this.#products) if (this.#needsQuantizedOutput(site)) wanted.add(this.#carrierOf(site.output));
    const constants = new Set<Value>();
    for (const node of this.#nodes) {
      for (const value of this.#dataValues(node)) (constantOf(value) ? constants : wanted).add(value);
      for (const output of node.outputs) if (output) wanted.add(this.#carrierOf(output));
    }
    const groups = this.#joinGroups();
    const ordered = this.#inOrder(wanted);
    return {
      products: this.#products,
      integerNodes: this.#nodes,
      clamps: new Map([...this.#clamps].filter(([value]) => wanted.has(value) && this.#isIntegerMade(value))),
      grids: new Map(ordered.map((value) => [value, groups.find(value)])),
      integerMade: new Set(ordered.filter((value) => this.#isIntegerMade(value))),
      constants: [...constants],
    };
  }

  /** An input of a Concat takes the result's grid when nothing else reads it; other passing nodes always share. */
  #joinGroups(): Groups {
    const groups = new Groups();
    for (const node of this.#nodes) {
      if (integerOperatorOf(node)?.behaviour !== 'passing') continue;
      for (const value of this.#dataValues(node))
        for (const output of node.outputs)
          if (output && !constantOf(value) && (node.op !== 'Concat' || value.uses.length === 1))
            groups.join(value, output);
    }
    return groups;
  }

  #inOrder(wanted: ReadonlySet<Value>): Value[] {
    const inGraph = (graph: Graph): Value[] => [
      ...graph.inputs,
      ...graph.nodes.flatMap((node) => [
        ...node.subgraphs().flatMap(inGraph),
        ...node.outputs.filter((value) => value !== undefined),
      ]),
    ];
    return inGraph(this.#program.graph).filter((value) => wanted.has(value));
  }
}

/**
 * Chooses what becomes integers around the given products. Inputs of products and results of convolutions always do;
 * arithmetic does where it stands between integers on both sides, so that nothing is rounded that a product does not
 * need rounded. Reads no data and changes nothing.
 */
export const planQdq = (program: Program, products: readonly Site[], options: PlanOptions): QdqPlan =>
  new Planner(program, products, options).plan();
