import { internalError } from '../../../errors.ts';
import { type DataType, dataTypes } from '../../../ir/data-type.ts';
import type { NameSource } from '../../../ir/edit/names.ts';
import { type Graph, intAttribute, Node, type Program, tensorAttribute, Value } from '../../../ir/graph.ts';
import { tensorOf } from '../../../ir/read.ts';
import { tensorType } from '../../../ir/shape.ts';
import { constantOf } from '../../../ir/walk.ts';
import { convertTensor, type FloatTarget } from './constants.ts';

/** Which form of a value is meant: the one it had, or the one in the new type. */
type Form = 'source' | 'target';

export interface RetypeOptions {
  readonly sources: ReadonlySet<DataType>;
  readonly target: FloatTarget;
  readonly io: 'keep' | 'convert';
  /** Nodes that go on working in the type they had. */
  isKept(node: Node): boolean;
  /** Inputs that keep their type even where the node changes its own. */
  keepsInput(node: Node, index: number): boolean;
}

const dtypeOf = (value: Value): DataType | undefined => (value.type?.kind === 'tensor' ? value.type.dtype : undefined);

/** Attributes that hold the number of an element type. */
const typeAttributes = ['to', 'dtype', 'output_datatype', 'output_dtype'];

/** Operators that make float32 when no attribute says otherwise, and the attribute that would. */
const implicitFloat32: Readonly<Record<string, string>> = {
  RandomNormal: 'dtype',
  RandomUniform: 'dtype',
  HannWindow: 'output_datatype',
  HammingWindow: 'output_datatype',
  BlackmanWindow: 'output_datatype',
};

/**
 * Changes the floating-point type that a program computes in. Every value of a source type gets the forms that its
 * readers ask for, each made once: a Cast behind its producer, or a converted constant.
 */
export class Retyper {
  readonly #names: NameSource;
  readonly #options: RetypeOptions;
  readonly #forms = new Map<Value, Partial<Record<Form, Value>>>();
  readonly #homes = new Map<Value, Graph>();
  /** Element types that values had. */
  readonly #types = new Map<Value, DataType>();
  /** Converted constants, by the constants that they came from. */
  readonly converted = new Map<Value, Value>();

  constructor(names: NameSource, options: RetypeOptions) {
    this.#names = names;
    this.#options = options;
  }

  /** Retypes the main graph and the bodies inside it, in place. Types of all values must be known. */
  run(program: Program): void {
    const form = this.#options.io === 'convert' ? 'target' : 'source';
    this.#retypeGraph(program.graph, form, form);
  }

  #retypeGraph(graph: Graph, inputForm: Form, outputForm: Form): void {
    for (const value of graph.inputs) {
      if (!this.#isSource(value)) continue;
      if (inputForm === 'target' && !graph.initializers.has(value)) this.#setType(value);
      this.#define(value, graph, graph.initializers.has(value) ? 'source' : inputForm);
    }
    for (const value of graph.initializers) if (this.#isSource(value)) this.#define(value, graph, 'source');
    for (const node of [...graph.nodes]) this.#retypeNode(node, graph);
    graph.outputs.forEach((value, index) => {
      if (this.#forms.has(value)) this.#handOut(graph, index, outputForm);
    });
  }

  #retypeNode(node: Node, graph: Graph): void {
    if (constantOf(node.outputs[0])) {
      const value = node.outputs[0]!;
      if (this.#isSource(value)) this.#define(value, graph, 'source');
      return;
    }
    const form = this.#options.isKept(node) ? 'source' : 'target';
    node.inputs.forEach((value, index) => {
      if (!value || !this.#forms.has(value)) return;
      node.setInput(index, this.#formOf(value, this.#options.keepsInput(node, index) ? 'source' : form));
    });
    for (const body of node.subgraphs()) this.#retypeGraph(body, form, form);
    const made = node.outputs.filter((value): value is Value => value !== undefined && this.#isSource(value));
    if (form === 'target') this.#retypeAttributes(node);
    for (const value of made) {
      if (form === 'target') this.#setType(value);
      this.#define(value, graph, form);
    }
  }

  #retypeAttributes(node: Node): void {
    const target = intAttribute(dataTypes[this.#options.target].onnx);
    for (const name of typeAttributes) {
      const number = node.int(name);
      const isSource = [...this.#options.sources].some((dtype) => dataTypes[dtype].onnx === number);
      if (isSource) node.setAttribute(name, target);
    }
    if (node.domain !== '') return;
    const implicit = implicitFloat32[node.op];
    if (implicit && node.int(implicit) === undefined && this.#options.sources.has('float32'))
      node.setAttribute(implicit, target);
    if (node.op === 'ConstantOfShape') this.#retypeFiller(node);
  }

  #retypeFiller(node: Node): void {
    const attribute = node.attributes.get('value');
    const { sources, target } = this.#options;
    if (attribute?.kind === 'tensor' && sources.has(attribute.value.dtype))
      node.setAttribute('value', tensorAttribute(convertTensor(attribute.value, target)));
    else if (!attribute && sources.has('float32'))
      node.setAttribute('value', tensorAttribute(tensorOf(target, [1], [0])));
  }

  #isSource(value: Value): boolean {
    const dtype = dtypeOf(value);
    return dtype !== undefined && this.#options.sources.has(dtype);
  }

  #setType(value: Value): void {
    const dtype = dtypeOf(value);
    if (dtype) this.#types.set(value, dtype);
    value.type = tensorType(this.#options.target, value.type?.kind === 'tensor' ? value.type.shape : undefined);
  }

  #define(value: Value, graph: Graph, form: Form): void {
    this.#homes.set(value, graph);
    this.#forms.set(value, { [form]: value });
  }

  #formOf(value: Value, form: Form): Value {
    const forms = this.#forms.get(value);
    const graph = this.#homes.get(value);
    if (!forms || !graph) throw internalError(`value ${value.name} has no known form`);
    const made =
      forms[form] ?? (constantOf(value) ? this.#convertConstant(value, graph) : this.#cast(value, graph, form));
    forms[form] = made;
    return made;
  }

  #convertConstant(value: Value, graph: Graph): Value {
    const tensor = convertTensor(constantOf(value)!, this.#options.target);
    const name = this.#names.fresh(value.name);
    let made: Value;
    if (value.producer) {
      made = new Value(name, tensorType(tensor.dtype, tensor.shape));
      const attributes = { value: tensorAttribute(tensor) };
      graph.insertAfter(new Node({ op: 'Constant', inputs: [], outputs: [made], attributes }), value.producer);
    } else made = graph.addInitializer(name, tensor);
    this.converted.set(value, made);
    return made;
  }

  #cast(value: Value, graph: Graph, form: Form): Value {
    const dtype = form === 'target' ? this.#options.target : this.#types.get(value);
    if (!dtype) throw internalError(`the element type of ${value.name} is not known`);
    const made = new Value(
      this.#names.fresh(`${value.name}_${dtype}`),
      tensorType(dtype, value.type?.kind === 'tensor' ? value.type.shape : undefined),
    );
    const attributes = { to: intAttribute(dataTypes[dtype].onnx) };
    const node = new Node({ op: 'Cast', inputs: [value], outputs: [made], attributes });
    if (value.producer) graph.insertAfter(node, value.producer);
    else graph.insert(node, graph.nodes[0]);
    return made;
  }

  /** Makes a graph hand out the wanted form of an output under the output's name. */
  #handOut(graph: Graph, index: number, form: Form): void {
    const value = graph.outputs[index]!;
    const made = this.#formOf(value, form);
    if (made === value) return;
    const { name } = value;
    value.name = this.#names.fresh(name);
    made.name = name;
    graph.outputs[index] = made;
  }
}
