import type { DataType } from '../../../ir/data-type.ts';
import type { NameSource } from '../../../ir/edit/names.ts';
import { type Attribute, type Graph, Node, Value } from '../../../ir/graph.ts';
import { type Shape, tensorType } from '../../../ir/shape.ts';

/** A node to write: one or more outputs, named after what they hold. */
export interface WrittenNode {
  readonly op: string;
  readonly domain?: string;
  readonly inputs: readonly (Value | undefined)[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly name: string;
  readonly dtype?: DataType;
  readonly shape?: Shape | undefined;
}

/** Writes nodes with free output names in front of one node of a graph. */
export class NodeWriter {
  readonly #graph: Graph;
  readonly #before: Node | undefined;
  readonly #names: NameSource;

  constructor(names: NameSource, graph: Graph, before: Node | undefined) {
    this.#names = names;
    this.#graph = graph;
    this.#before = before;
  }

  /** Adds a node with `count` outputs and returns them. */
  addMany(node: WrittenNode, suffixes: readonly string[]): Value[] {
    const outputs = suffixes.map((suffix) => new Value(this.#names.fresh(`${node.name}${suffix}`)));
    this.#graph.insert(
      new Node({
        op: node.op,
        domain: node.domain ?? '',
        inputs: node.inputs,
        outputs,
        attributes: node.attributes ?? {},
      }),
      this.#before,
    );
    return outputs;
  }

  /** Adds a node with one output and returns it. */
  add(node: WrittenNode): Value {
    const output = this.addMany(node, [''])[0]!;
    if (node.dtype) output.type = tensorType(node.dtype, node.shape);
    return output;
  }
}
