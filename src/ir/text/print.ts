import type { FunctionDefinition, Graph, Node, Program, Value } from '../graph.ts';
import { blockKey, roleKey } from '../model.ts';
import { type AttributePrinter, printAttribute } from './attributes.ts';
import { printName } from './cursor.ts';
import { printLiteral } from './literal.ts';
import { printType } from './types.ts';

export interface PrintOptions {
  /** Constants with more elements print as placeholders. Default 64. */
  readonly inlineElements?: number;
}

/** A program as canonical text (grammar in parse.ts). Parsing it and printing again gives the same text. */
export const printProgram = (program: Program, options: PrintOptions = {}): string => {
  const printer = new Printer(options.inlineElements ?? 64);
  const parts = [printHeader(program), printer.graph(program.graph, '')];
  for (const definition of program.functions) parts.push(printer.definition(definition));
  return `${parts.join('\n')}\n`;
};

const printOpsets = (opsets: ReadonlyMap<string, number>): string =>
  [...opsets].map(([domain, version]) => ` ${domain === '' ? 'opset' : printName(domain)}=${version}`).join('');

const printFacts = (facts: readonly (readonly [string, string])[]): string => {
  if (facts.length === 0) return '';
  const items = facts.map(
    ([key, value]) => `${/^[A-Za-z_]\w*$/.test(key) ? key : JSON.stringify(key)}: ${JSON.stringify(value)}`,
  );
  return ` { ${items.join(', ')} }`;
};

const filled = (entries: readonly (readonly [string, string])[]): (readonly [string, string])[] =>
  entries.filter(([, value]) => value !== '');

const printHeader = (program: Program): string => {
  const facts = [
    ...(program.producerName === 'modelpress' ? [] : [['producer', program.producerName] as const]),
    ...filled([
      ['producer_version', program.producerVersion],
      ['domain', program.domain],
      ['model_version', program.modelVersion === 0 ? '' : String(program.modelVersion)],
      ['doc', program.docString],
    ]),
    ...program.metadata,
  ];
  const ir = program.irVersion === 10 ? '' : ` ir=${program.irVersion}`;
  return `program${printOpsets(program.opsets)}${ir}${printFacts(facts)}`;
};

const typed = (value: Value): string =>
  value.type ? `${printName(value.name)}: ${printType(value.type)}` : printName(value.name);

const printNodeFacts = (node: Node): string =>
  printFacts([
    ...filled([
      ['name', node.name],
      ['overload', node.overload],
      ['doc', node.docString],
    ]),
    ...[...node.metadata].map(([key, value]): [string, string] => {
      if (key === roleKey) return ['role', value];
      return [key === blockKey ? 'block' : key, value];
    }),
  ]);

const printOp = (domain: string, op: string): string => {
  const name = domain === '' ? op : `${domain}::${op}`;
  return (domain === '' ? /^[A-Z]\w*$/ : /^[A-Za-z_][\w.]*::\w+$/).test(name) ? name : JSON.stringify(name);
};

class Printer {
  readonly #inlineElements: number;

  constructor(inlineElements: number) {
    this.#inlineElements = inlineElements;
  }

  graph(graph: Graph, indent: string): string {
    const inputs = graph.inputs.map(typed).join(', ');
    return `graph ${printName(graph.name)}(${inputs}) -> (${this.#outputs(graph)}) {\n${this.#body(graph, `${indent}  `)}${indent}}`;
  }

  definition(definition: FunctionDefinition): string {
    const { name, domain, overload, body, attributes, opsets } = definition;
    const inputs = body.inputs.map(typed).join(', ');
    const facts = [
      printOpsets(opsets),
      overload === '' ? '' : ` overload=${JSON.stringify(overload)}`,
      attributes.length === 0 ? '' : ` attributes(${attributes.map(printName).join(', ')})`,
    ].join('');
    const title = printName(`${domain}::${name}`);
    return `function ${title}(${inputs}) -> (${this.#outputs(body)})${facts} {\n${this.#body(body, '  ')}}`;
  }

  #outputs(graph: Graph): string {
    return graph.outputs.map((value) => printName(value.name)).join(', ');
  }

  #body(graph: Graph, indent: string): string {
    const lines: string[] = [];
    for (const value of graph.initializers)
      if (value.tensor) {
        const literal = printLiteral(value.tensor, value.name, this.#inlineElements);
        lines.push(`${typed(value)} = ${literal}`);
      }
    for (const node of graph.nodes) lines.push(this.#node(node, indent));
    return lines.map((line) => `${indent}${line}\n`).join('');
  }

  #node(node: Node, indent: string): string {
    const outputs = node.outputs.map((value) => (value ? typed(value) : '_')).join(', ');
    const printer: AttributePrinter = {
      inlineElements: this.#inlineElements,
      owner: node.name || (node.outputs[0]?.name ?? node.op),
      printGraph: (graph) => this.graph(graph, indent),
    };
    const operands = [
      ...node.inputs.map((value) => (value ? printName(value.name) : '_')),
      ...[...node.attributes].map(([key, attribute]) => `${printName(key)}=${printAttribute(attribute, printer)}`),
    ];
    return `${outputs} = ${printOp(node.domain, node.op)}(${operands.join(', ')})${printNodeFacts(node)}`;
  }
}
