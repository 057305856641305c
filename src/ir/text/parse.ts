import {
  type Attribute,
  type FunctionDefinition,
  Graph,
  Node,
  newProgram,
  type Program,
  type Value,
} from '../graph.ts';
import { blockKey, roleKey } from '../model.ts';
import { tensorType } from '../shape.ts';
import { parseAttribute } from './attributes.ts';
import { Cursor } from './cursor.ts';
import { parseLiteral } from './literal.ts';
import { Scope } from './scope.ts';
import { parseType } from './types.ts';

export interface ParseOptions {
  /** For messages. */
  readonly file?: string;
}

/**
 * Programs as text.
 *
 *   program opset=21 com.microsoft=1 ir=10 { producer: "modelpress", "any key": "metadata" }
 *   graph main(x: float32[batch, 4], mask: int64[batch, ?]) -> (y, z) {
 *     w: float32[4, 2] = [[1, 2], [3, 4], [5, 6], [7, 8]]        # an initializer; the shape may be left out
 *     v: float32[64, 64] = random(seed=1, scale=0.1)             # other rules: see fill.ts
 *     y = MatMul(x, w)
 *     t: float32[batch, 2] = Relu(y) { name: "act", role: "up", block: "3" }
 *     h, _, c = LSTM(t, v, v, _, _, "odd name", hidden_size=2)   # _ is a missing input or output
 *     z = If(cond, then_branch=graph a() -> (p) { p = Neg(y) }, else_branch=graph b() -> (q) { q = Abs(y) })
 *     r = com.microsoft::Gelu(y, alpha=1.0, axes=[1, 2], mode="fast", value=tensor(int64[2], [1, 2]))
 *   }
 *   function local::Twice(x) -> (y) opset=21 attributes(alpha) { y = Scale(x, by=@alpha) }
 *
 * program   := 'program' (domain '=' integer)* facts? graph function*      'opset' is the standard domain, 'ir' the IR version
 * graph     := 'graph' name '(' (typed, …)? ')' '->' '(' (typed, …)? ')' '{' statement* '}'
 * function  := 'function' domain '::' name '(' name, … ')' '->' '(' name, … ')' (domain '=' integer)* ('overload' '=' string)?
 *              ('attributes' '(' name, … ')')? '{' statement* '}'
 * statement := name ':' type '=' literal                                    (literal.ts)
 *            | output, … '=' op '(' (input, …)? (key '=' attribute, …)? ')' facts?
 * output    := '_' | typed         typed := name (':' type)?        input := '_' | name
 * op        := (domain '::')? name        facts := '{' (key ':' string, …)? '}'
 * Facts of a node: name, doc, overload, role, block; other keys are metadata. Types: types.ts; attributes: attributes.ts.
 * A name without quotes consists of letters, digits, `_ / . % $ -` and `::`. `#` begins a comment.
 * Values are defined before they are read. A graph output may be typed in the header or where it is computed.
 * Not expressed: documentation of values and graphs, fields that the IR only carries for a file format.
 * @throws 'malformed' with line and column.
 */
export const parseProgram = (text: string, options: ParseOptions = {}): Program => {
  const cursor = new Cursor(text, options.file);
  cursor.expectWord('program');
  const versions = parseVersions(cursor);
  const facts = cursor.peek('{') ? parseFacts(cursor) : new Map<string, string>();
  const graph = parseGraph(cursor);
  const program = newProgram(graph, 0);
  program.opsets.clear();
  program.irVersion = versions.get('ir') ?? program.irVersion;
  addOpsets(program.opsets, versions);
  program.producerName = facts.get('producer') ?? program.producerName;
  program.producerVersion = facts.get('producer_version') ?? '';
  program.domain = facts.get('domain') ?? '';
  program.modelVersion = Number(facts.get('model_version') ?? 0);
  program.docString = facts.get('doc') ?? '';
  for (const [key, value] of facts) if (!programFacts.has(key)) program.metadata.set(key, value);
  while (!cursor.finished) program.functions.push(parseFunction(cursor));
  return program;
};

const programFacts = new Set(['producer', 'producer_version', 'domain', 'model_version', 'doc']);

/** (domain '=' integer)*; keys as written. */
const parseVersions = (cursor: Cursor): Map<string, number> => {
  const versions = new Map<string, number>();
  for (;;) {
    cursor.skipBlank();
    const start = cursor.position;
    if (!/["A-Za-z]/.test(cursor.text[start] ?? '')) return versions;
    const key = cursor.name('a domain');
    if (!cursor.peek('=') || key === 'overload') {
      cursor.rewind(start);
      return versions;
    }
    cursor.expect('=');
    versions.set(key, cursor.integer('a version'));
  }
};

const addOpsets = (opsets: Map<string, number>, versions: ReadonlyMap<string, number>): void => {
  for (const [key, version] of versions) if (key !== 'ir') opsets.set(key === 'opset' ? '' : key, version);
};

/** '{' (key ':' string, …)? '}' */
const parseFacts = (cursor: Cursor): Map<string, string> => {
  const facts = new Map<string, string>();
  cursor.expect('{');
  cursor.list('}', () => {
    const key = cursor.name('a key');
    cursor.expect(':');
    facts.set(key, cursor.string());
  });
  return facts;
};

interface Header {
  readonly name: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly { readonly name: string; readonly position: number; readonly type: Value['type'] }[];
}

const parseHeader = (cursor: Cursor, scope: Scope): Header => {
  const name = cursor.name('a name');
  const inputs: Value[] = [];
  cursor.expect('(');
  cursor.list(')', () => {
    cursor.skipBlank();
    const start = cursor.position;
    const input = cursor.name('an input');
    if (scope.findOwn(input)) throw cursor.error(`the input ${JSON.stringify(input)} is there twice`, start);
    const value = scope.define(input);
    if (cursor.take(':')) value.type = parseType(cursor);
    inputs.push(value);
  });
  cursor.expect('->');
  cursor.expect('(');
  const outputs: { name: string; position: number; type: Value['type'] }[] = [];
  cursor.list(')', () => {
    cursor.skipBlank();
    const position = cursor.position;
    const output = cursor.name('an output');
    outputs.push({ name: output, position, type: cursor.take(':') ? parseType(cursor) : undefined });
  });
  return { name, inputs, outputs };
};

const parseBody = (cursor: Cursor, scope: Scope, header: Header): Graph => {
  const graph = new Graph(header.name);
  graph.inputs.push(...header.inputs);
  cursor.expect('{');
  while (!cursor.take('}')) parseStatement(cursor, scope, graph);
  for (const { name, position, type } of header.outputs) {
    const value = scope.find(name);
    if (!value) throw cursor.error(`the output ${JSON.stringify(name)} is computed nowhere in this graph`, position);
    value.type ??= type;
    graph.outputs.push(value);
  }
  return graph;
};

const parseGraph = (cursor: Cursor, outer?: Scope): Graph => {
  cursor.expectWord('graph');
  const scope = new Scope(outer);
  return parseBody(cursor, scope, parseHeader(cursor, scope));
};

const parseFunction = (cursor: Cursor): FunctionDefinition => {
  cursor.expectWord('function');
  const scope = new Scope();
  const header = parseHeader(cursor, scope);
  const opsets = new Map<string, number>();
  addOpsets(opsets, parseVersions(cursor));
  let overload = '';
  if (cursor.takeWord('overload')) {
    cursor.expect('=');
    overload = cursor.string();
  }
  const attributes: string[] = [];
  if (cursor.takeWord('attributes')) {
    cursor.expect('(');
    cursor.list(')', () => attributes.push(cursor.name('an attribute name')));
  }
  const { domain, op } = splitOp(header.name);
  return { name: op, domain, overload, opsets, attributes, body: parseBody(cursor, scope, { ...header, name: op }) };
};

const splitOp = (name: string): { domain: string; op: string } => {
  const at = name.lastIndexOf('::');
  return at < 0 ? { domain: '', op: name } : { domain: name.slice(0, at), op: name.slice(at + 2) };
};

interface Target {
  /** Undefined for a missing output. */
  readonly name: string | undefined;
  readonly position: number;
  readonly type: Value['type'];
}

const parseStatement = (cursor: Cursor, scope: Scope, graph: Graph): void => {
  const targets: Target[] = [];
  do {
    cursor.skipBlank();
    const position = cursor.position;
    const name = cursor.takeWord('_') ? undefined : cursor.name('a statement');
    targets.push({ name, position, type: name !== undefined && cursor.take(':') ? parseType(cursor) : undefined });
  } while (cursor.take(','));
  cursor.expect('=');
  if (standsCall(cursor)) parseCall(cursor, scope, graph, targets);
  else parseInitializer(cursor, scope, graph, targets);
};

/** A call begins with a quoted name or with a capital letter or domain, and an opening parenthesis; fill rules are lower case. */
const standsCall = (cursor: Cursor): boolean => {
  cursor.skipBlank();
  const rest = cursor.text.slice(cursor.position, cursor.position + 200);
  return /^(?:"(?:[^"\\\n]|\\.)*"\s*\(|[A-Z]\w*\s*\(|[\w.]*::|[A-Za-z_][\w.]*::)/.test(rest);
};

const parseInitializer = (cursor: Cursor, scope: Scope, graph: Graph, targets: readonly Target[]): void => {
  const [target, second] = targets;
  if (target?.name === undefined || second) throw cursor.error('several outputs need a node: expected Operator(…)');
  if (target.type?.kind !== 'tensor' || !target.type.dtype)
    throw cursor.error(`expected Operator(…), or a type for the constant ${JSON.stringify(target.name)}`);
  const tensor = parseLiteral(cursor, target.type.dtype, target.type.shape);
  const known = scope.findOwn(target.name);
  if (known && !graph.inputs.includes(known))
    throw cursor.error(`${JSON.stringify(target.name)} is defined twice`, target.position);
  const value = known ?? scope.define(target.name);
  value.tensor = tensor;
  value.type = tensorType(tensor.dtype, tensor.shape);
  graph.initializers.add(value);
};

const parseCall = (cursor: Cursor, scope: Scope, graph: Graph, targets: readonly Target[]): void => {
  const { domain, op } = splitOp(cursor.name('an operator'));
  const inputs: (Value | undefined)[] = [];
  const attributes = new Map<string, Attribute>();
  cursor.expect('(');
  cursor.list(')', () => {
    cursor.skipBlank();
    const position = cursor.position;
    if (cursor.takeWord('_')) {
      inputs.push(undefined);
      return;
    }
    const name = cursor.name('an input');
    if (cursor.take('=')) {
      if (attributes.has(name)) throw cursor.error(`the attribute ${name} is there twice`, position);
      attributes.set(
        name,
        parseAttribute(cursor, () => parseGraph(cursor, scope)),
      );
      return;
    }
    if (attributes.size > 0) throw cursor.error('inputs stand before attributes', position);
    const value = scope.find(name);
    if (!value) throw cursor.error(`the value ${JSON.stringify(name)} is not defined before it is read`, position);
    inputs.push(value);
  });
  const facts = cursor.peek('{') ? parseFacts(cursor) : new Map<string, string>();
  const outputs = targets.map(({ name, position, type }) => {
    if (name === undefined) return undefined;
    if (scope.findOwn(name)) throw cursor.error(`${JSON.stringify(name)} is defined twice`, position);
    const value = scope.define(name);
    value.type = type;
    return value;
  });
  const node = new Node({
    op,
    domain,
    inputs,
    outputs,
    attributes,
    name: facts.get('name') ?? '',
    overload: facts.get('overload') ?? '',
  });
  node.docString = facts.get('doc') ?? '';
  for (const [key, value] of facts) {
    if (key === 'role') node.metadata.set(roleKey, value);
    else if (key === 'block') node.metadata.set(blockKey, value);
    else if (!['name', 'overload', 'doc'].includes(key)) node.metadata.set(key, value);
  }
  graph.insert(node);
};
