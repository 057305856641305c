import { internalError } from '../errors.ts';
import type { ValueType } from './shape.ts';
import type { Tensor } from './tensor.ts';

/** Fields of a file format that the IR does not model; a format puts them here and finds them again when it writes. */
export type Carried = Readonly<Record<string, unknown>>;

/** One place where a value is read: input `index` of `node`. */
export interface Use {
  readonly node: Node;
  readonly index: number;
}

/**
 * An edge of the graph: produced by at most one node output, or a graph input, or a constant (`tensor` set: an
 * initializer). Subgraphs read values of their enclosing graphs by holding the same object. Equality is identity;
 * names are unique among the values visible in a graph.
 */
export class Value {
  name: string;
  type: ValueType | undefined;
  /** The constant that this value holds, for initializers. */
  tensor: Tensor | undefined;
  docString = '';
  readonly metadata = new Map<string, string>();
  carried: Carried | undefined;
  /** @internal kept by Node and Graph. */
  producedBy: Node | undefined;
  /** @internal kept by Node. */
  readonly useSet = new Map<string, Use>();

  constructor(name: string, type?: ValueType, tensor?: Tensor) {
    this.name = name;
    this.type = type ?? (tensor ? { kind: 'tensor', dtype: tensor.dtype, shape: tensor.shape } : undefined);
    this.tensor = tensor;
  }

  /** The node that computes this value; undefined for inputs and initializers. */
  get producer(): Node | undefined {
    return this.producedBy;
  }

  /** Every node input that reads this value, in subgraphs too (graph outputs are not uses: see Graph.outputs). */
  get uses(): readonly Use[] {
    return [...this.useSet.values()];
  }
}

/** An attribute's value. Integers are bigint-free: int64 attributes of models fit 53 bits, checked when read. */
export type Attribute =
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'string'; readonly value: Uint8Array }
  | { readonly kind: 'tensor'; readonly value: Tensor; readonly name?: string; readonly carried?: Carried }
  | { readonly kind: 'graph'; readonly value: Graph }
  | { readonly kind: 'type'; readonly value: ValueType }
  | { readonly kind: 'ints'; readonly value: readonly number[] }
  | { readonly kind: 'floats'; readonly value: readonly number[] }
  | { readonly kind: 'strings'; readonly value: readonly Uint8Array[] }
  | { readonly kind: 'tensors'; readonly value: readonly Tensor[]; readonly carried?: Carried }
  | { readonly kind: 'graphs'; readonly value: readonly Graph[] }
  /** Inside a function body: the attribute of the calling node with this name. */
  | { readonly kind: 'reference'; readonly value: string; readonly carried?: Carried }
  /** Anything else (sparse tensors, type lists), kept whole. */
  | { readonly kind: 'carried'; readonly value: Carried };

export interface NodeFields {
  readonly op: string;
  readonly domain?: string;
  readonly overload?: string;
  readonly name?: string;
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly (Value | undefined)[];
  readonly attributes?: ReadonlyMap<string, Attribute> | Readonly<Record<string, Attribute>>;
}

let nextNodeNumber = 0;

/** One operator call. Missing optional inputs and outputs are undefined. */
export class Node {
  op: string;
  /** '' is the standard ONNX domain. */
  domain: string;
  overload: string;
  name: string;
  docString = '';
  readonly attributes: Map<string, Attribute>;
  readonly metadata = new Map<string, string>();
  carried: Carried | undefined;
  /** @internal kept by Graph. */
  ownerGraph: Graph | undefined;
  readonly #number = nextNodeNumber++;
  readonly #inputs: (Value | undefined)[] = [];
  readonly #outputs: (Value | undefined)[] = [];

  constructor(fields: NodeFields) {
    this.op = fields.op;
    this.domain = fields.domain ?? '';
    this.overload = fields.overload ?? '';
    this.name = fields.name ?? '';
    const attributes = fields.attributes ?? {};
    this.attributes = new Map(attributes instanceof Map ? attributes : Object.entries(attributes));
    fields.inputs.forEach((value, index) => {
      this.setInput(index, value);
    });
    fields.outputs.forEach((value, index) => {
      this.setOutput(index, value);
    });
    for (const subgraph of this.subgraphs()) subgraph.ownerNode = this;
  }

  /** The graph that this node stands in. */
  get graph(): Graph | undefined {
    return this.ownerGraph;
  }

  get inputs(): readonly (Value | undefined)[] {
    return this.#inputs;
  }

  get outputs(): readonly (Value | undefined)[] {
    return this.#outputs;
  }

  setInput(index: number, value: Value | undefined): void {
    while (this.#inputs.length <= index) this.#inputs.push(undefined);
    const key = `${this.#number}:${index}`;
    this.#inputs[index]?.useSet.delete(key);
    this.#inputs[index] = value;
    value?.useSet.set(key, { node: this, index });
  }

  setOutput(index: number, value: Value | undefined): void {
    while (this.#outputs.length <= index) this.#outputs.push(undefined);
    const previous = this.#outputs[index];
    if (previous?.producedBy === this) previous.producedBy = undefined;
    this.#outputs[index] = value;
    if (!value) return;
    if (value.producedBy && value.producedBy !== this)
      throw internalError(`value ${value.name} already has a producer`, { node: this.name });
    value.producedBy = this;
  }

  /** Drops trailing missing inputs. */
  trimInputs(): void {
    while (this.#inputs.length > 0 && this.#inputs.at(-1) === undefined) this.#inputs.pop();
  }

  setAttribute(name: string, attribute: Attribute): void {
    this.attributes.set(name, attribute);
    if (attribute.kind === 'graph') attribute.value.ownerNode = this;
    if (attribute.kind === 'graphs') for (const graph of attribute.value) graph.ownerNode = this;
  }

  /** Graphs held in attributes (bodies of If, Loop, Scan), in attribute order. */
  subgraphs(): Graph[] {
    return [...this.attributes.values()].flatMap((attribute) =>
      attribute.kind === 'graph' ? [attribute.value] : attribute.kind === 'graphs' ? [...attribute.value] : [],
    );
  }

  int(name: string, fallback: number): number;
  int(name: string): number | undefined;
  int(name: string, fallback?: number): number | undefined {
    const attribute = this.attributes.get(name);
    return attribute?.kind === 'int' ? attribute.value : fallback;
  }

  float(name: string, fallback: number): number;
  float(name: string): number | undefined;
  float(name: string, fallback?: number): number | undefined {
    const attribute = this.attributes.get(name);
    return attribute?.kind === 'float' ? attribute.value : fallback;
  }

  text(name: string): string | undefined {
    const attribute = this.attributes.get(name);
    return attribute?.kind === 'string' ? new TextDecoder().decode(attribute.value) : undefined;
  }

  ints(name: string): readonly number[] | undefined {
    const attribute = this.attributes.get(name);
    return attribute?.kind === 'ints' ? attribute.value : undefined;
  }

  floats(name: string): readonly number[] | undefined {
    const attribute = this.attributes.get(name);
    return attribute?.kind === 'floats' ? attribute.value : undefined;
  }

  /** Cuts this node off from all values (done by Graph.remove). */
  detach(): void {
    for (let index = 0; index < this.#inputs.length; index++) this.setInput(index, undefined);
    for (let index = 0; index < this.#outputs.length; index++) this.setOutput(index, undefined);
    for (const subgraph of this.subgraphs()) for (const node of subgraph.nodes) node.detach();
  }
}

/** Shorthands for attributes. */
export const intAttribute = (value: number): Attribute => ({ kind: 'int', value });
export const floatAttribute = (value: number): Attribute => ({ kind: 'float', value });
export const intsAttribute = (value: readonly number[]): Attribute => ({ kind: 'ints', value });
export const textAttribute = (value: string): Attribute => ({ kind: 'string', value: new TextEncoder().encode(value) });
export const tensorAttribute = (value: Tensor): Attribute => ({ kind: 'tensor', value });

/** Per-tensor quantization annotation of the file, kept as it is: names of scale and zero-point tensors by key. */
export interface QuantizationAnnotation {
  readonly tensor: string;
  readonly parameters: ReadonlyMap<string, string>;
}

/**
 * Nodes in an order in which every value is produced before it is read (kept by the edit functions; `verify` checks).
 * Initializers that are also inputs (IR < 4 and defaults) appear in both lists.
 */
export class Graph {
  name: string;
  docString = '';
  readonly nodes: Node[] = [];
  readonly inputs: Value[] = [];
  readonly outputs: Value[] = [];
  /** Constants by insertion order; each has `tensor` set. */
  readonly initializers = new Set<Value>();
  readonly quantizationAnnotations: QuantizationAnnotation[] = [];
  readonly metadata = new Map<string, string>();
  carried: Carried | undefined;
  /** The node whose attribute holds this graph; undefined for the main graph and function bodies. */
  ownerNode: Node | undefined;

  constructor(name: string) {
    this.name = name;
  }

  /** The enclosing graph of a subgraph. */
  get parent(): Graph | undefined {
    return this.ownerNode?.graph;
  }

  /** Adds a node before `before`, or at the end. */
  insert(node: Node, before?: Node): Node {
    if (node.ownerGraph) throw internalError(`node ${node.name} already stands in a graph`);
    const index = before ? this.nodes.indexOf(before) : this.nodes.length;
    if (index < 0) throw internalError(`node ${before?.name} is not in graph ${this.name}`);
    this.nodes.splice(index, 0, node);
    node.ownerGraph = this;
    return node;
  }

  insertAfter(node: Node, after: Node): Node {
    const index = this.nodes.indexOf(after);
    return this.insert(node, this.nodes[index + 1]);
  }

  /** Takes nodes out and detaches them from their values. */
  remove(...nodes: readonly Node[]): void {
    const gone = new Set(nodes);
    const kept = this.nodes.filter((node) => !gone.has(node));
    this.nodes.length = 0;
    for (const node of kept) this.nodes.push(node);
    for (const node of nodes) {
      node.detach();
      node.ownerGraph = undefined;
    }
  }

  addInitializer(name: string, tensor: Tensor): Value {
    const value = new Value(name, undefined, tensor);
    this.initializers.add(value);
    return value;
  }
}

/** A model-local function (FunctionProto): its body reads `inputs` and names of attributes of the call. */
export interface FunctionDefinition {
  readonly name: string;
  readonly domain: string;
  readonly overload: string;
  readonly body: Graph;
  readonly attributes: readonly string[];
  readonly opsets: ReadonlyMap<string, number>;
  readonly carried?: Carried;
}

/** A whole ONNX program: main graph, functions, operator-set versions and the file's own facts. */
export interface Program {
  graph: Graph;
  irVersion: number;
  /** Operator-set version by domain; '' is the standard domain. */
  readonly opsets: Map<string, number>;
  readonly functions: FunctionDefinition[];
  readonly metadata: Map<string, string>;
  producerName: string;
  producerVersion: string;
  domain: string;
  modelVersion: number;
  docString: string;
  carried?: Carried;
}

/** An empty program on the given standard operator set. */
export const newProgram = (graph: Graph, opset: number, irVersion = 10): Program => ({
  graph,
  irVersion,
  opsets: new Map([['', opset]]),
  functions: [],
  metadata: new Map(),
  producerName: 'modelpress',
  producerVersion: '',
  domain: '',
  modelVersion: 0,
  docString: '',
});
