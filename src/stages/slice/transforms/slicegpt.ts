import { findResidualWriters, type ResidualWriter } from '../../../analysis/residual-writers.ts';
import { readSiteMatrix, siteTensor } from '../../../analysis/site-weights.ts';
import { findSites, type Site } from '../../../analysis/sites.ts';
import { blockSites } from '../../../curvature/removal/costs.ts';
import { CompressError } from '../../../errors.ts';
import { floatsOfArray } from '../../../execution/arrays.ts';
import { observeProgram } from '../../../execution/observe.ts';
import { nameSource } from '../../../ir/edit/names.ts';
import { removeDead } from '../../../ir/edit/remove-dead.ts';
import { insertNode, outputOf, replaceAllUses, setConstant } from '../../../ir/edit/replace.ts';
import type { Program, Value } from '../../../ir/graph.ts';
import { inferShapes } from '../../../ir/inference/index.ts';
import { arrayOfMatrix } from '../../../ir/matrix-layout.ts';
import { blockKey } from '../../../ir/model.ts';
import { floatTensor, readFloats, tensorOf } from '../../../ir/read.ts';
import { constantOf } from '../../../ir/walk.ts';
import { GramAccumulator, matmul } from '../../../kernels/index.ts';
import type { Finding } from '../../../recipe/events.ts';
import type { StageContext } from '../../stage.ts';
import type { SliceOptions } from '../options.ts';
import { streamBefore } from './residual-units.ts';
import { type RootMeanSquare, rootMeanSquaresOf } from './root-mean-square.ts';
import { leading, principalRotation, transition } from './rotation.ts';
import type { TransformMethod } from './transform.ts';

/** One state of the residual stream: what writes it, what normalises it, what reads it. */
interface StreamState {
  readonly value: Value;
  /** What adds to the state before; undefined for the embedding. */
  readonly writer: ResidualWriter | undefined;
  readonly norm: RootMeanSquare | undefined;
  readonly readers: readonly Site[];
}

const unsupported = (message: string, site?: string): CompressError =>
  new CompressError({
    code: 'unsupported',
    message: `slicegpt: ${message}`,
    ...(site === undefined ? {} : { where: { site } }),
    hint: 'It needs a residual stream that products read through root-mean-square normalisations (the llama family). Method obs works on any graph.',
  });

/** Matrices that are shared between products become their own: they will be rotated differently. */
const untie = (program: Program): void => {
  const { graph } = program;
  for (const site of findSites(program)) {
    const shared = site.weight.uses.length > 1 || site.node.inputs[site.weightIndex] !== site.weight;
    if (!shared || site.op === 'Gather' || site.graph !== graph) continue;
    const rowsLast = site.op === 'MatMul';
    const shape = rowsLast ? [site.columns, site.rows] : siteTensor(site).shape;
    const array = arrayOfMatrix(readSiteMatrix(site), shape, rowsLast ? 'rows-last' : site.layout);
    const own = graph.addInitializer(
      nameSource(graph).fresh(`${site.weight.name}/own`),
      floatTensor(shape, Float32Array.from(array)),
    );
    site.node.setInput(site.weightIndex, own);
  }
  removeDead(program);
};

/** Gains of normalisations go into the products behind them. */
const foldGain = (program: Program, norm: RootMeanSquare): void => {
  if (!norm.gain) return;
  const gains = readFloats(constantOf(norm.gain.value)!);
  const scaled = outputOf(norm.gain.node);
  for (const site of findSites(program).filter(({ input }) => input === scaled)) {
    const matrix = Float32Array.from(readSiteMatrix(site), (weight, index) => weight * gains[index % site.columns]!);
    setMatrix(site, matrix, site.rows, site.columns);
  }
  replaceAllUses(scaled, norm.output, { graph: program.graph });
  program.graph.remove(norm.gain.node);
};

/** Replaces a site's weight by a matrix (rows, columns) of any size. */
const setMatrix = (site: Site, matrix: ArrayLike<number>, rows: number, columns: number): void => {
  const shape = site.layout === 'rows-last' ? [columns, rows] : [rows, columns];
  const tensor = siteTensor(site);
  setConstant(site.weight, tensorOf(tensor.dtype, shape, arrayOfMatrix(Float32Array.from(matrix), shape, site.layout)));
};

/** The states of the stream in execution order. @throws 'unsupported' where something else reads it. */
const streamStates = (program: Program): StreamState[] => {
  const writers = findResidualWriters(program);
  const first = writers[0] && streamBefore(writers[0]);
  if (!first) throw unsupported('no residual stream was found');
  const sums = new Set(writers.map(({ stream }) => stream.producer));
  const sites = findSites(program);
  return [first, ...writers.map(({ stream }) => stream)].map((value, index) => {
    const [norm, ...others] = rootMeanSquaresOf(value);
    const strange = value.uses.find(({ node }) => !norm?.readers.has(node) && !sums.has(node));
    if (strange || others.length > 0 || program.graph.outputs.includes(value))
      throw unsupported(`the stream ${value.name} is read by ${strange?.node.op ?? 'several things'}`);
    const writer = writers[index - 1];
    if (writer && (writer.gains || writer.site.output.uses[0]?.node !== writer.stream.producer))
      throw unsupported('something stands between a product and the stream that it writes to', writer.site.name);
    if (norm?.gain) foldGain(program, norm);
    const readers = norm ? sites.filter((site) => site.graph === program.graph && readsNorm(site, norm)) : [];
    if (norm && norm.output.uses.length !== readers.length)
      throw unsupported(`something else than products reads the normalised stream ${norm.output.name}`);
    return { value, writer, norm, readers };
  });
};

const readsNorm = (site: Site, { output }: RootMeanSquare): boolean => site.node.inputs.includes(output);

/** E[y yᵀ] of every normalised state: (n, n). */
const observeStates = async (
  program: Program,
  states: readonly StreamState[],
  n: number,
  context: StageContext,
): Promise<Map<StreamState, Float64Array>> => {
  const { calibration: dataset, engine, scratch, emit, signal } = context;
  if (!dataset) throw new CompressError({ code: 'data', message: 'slicegpt needs calibration data' });
  const grams = new Map(states.filter(({ norm }) => norm).map((state) => [state, new GramAccumulator(n)]));
  const observations = [...grams].map(([{ norm }, gram]) => ({
    value: norm!.output,
    observer: {
      observe: (array: Parameters<typeof floatsOfArray>[0]) => {
        const floats = floatsOfArray(array);
        return gram.add(floats, floats.length / n);
      },
    },
  }));
  await observeProgram({ program, dataset, engine, observations, task: 'slicegpt: stream', scratch, emit, signal });
  return new Map([...grams].map(([state, gram]) => [state, gram.matrix().map((sum) => sum / Math.max(1, gram.count))]));
};

/** Sites that compute the first state: lookups, possibly added. */
const embeddings = (program: Program, first: Value): Site[] => {
  const found = findSites(program).filter(({ op, output }) => op === 'Gather' && output === first);
  if (found.length === 0) throw unsupported('the stream does not begin with a lookup');
  return found;
};

/**
 * Rotates every state of the residual stream into its principal directions and keeps the first `width` of them (SliceGPT,
 * Ashkboos et al. 2024). Products that write and read it take up the rotations; where the stream flows past a branch, a
 * small product turns one state's directions into the next one's. With the full width nothing changes but rounding.
 */
export const sliceStream = async (program: Program, width: number, context: StageContext): Promise<void> => {
  untie(program);
  const states = streamStates(program);
  removeDead(program);
  inferShapes(program, { statedTypes: 'replace' });
  const [start] = states;
  const sources = embeddings(program, start!.value);
  const n = sources[0]!.columns;
  const moments = await observeStates(program, states, n, context);
  let rotation = await principalRotation([...moments.values()][0]!, n, context.signal);
  const bases: Float64Array[] = [];
  for (const state of states) {
    const moment = moments.get(state);
    if (moment) rotation = await principalRotation(moment, n, context.signal);
    bases.push(leading(rotation, n, width));
  }
  for (const site of sources) {
    const table = Float64Array.from(readSiteMatrix(site));
    const turned = await matmul({ a: table, rows: site.rows, inner: n, b: bases[0]!, columns: width });
    setMatrix(site, turned, site.rows, width);
  }
  for (const [index, state] of states.entries()) {
    if (state.writer) await writeRotated(program, state.writer, bases[index - 1]!, bases[index]!, n, width);
    if (state.norm) await readRotated(state, bases[index]!, n, width);
  }
  inferShapes(program, { statedTypes: 'replace' });
};

/** W ← Qᵀ W, and the stream that flows past is turned from the directions before into the present ones. */
const writeRotated = async (
  program: Program,
  { site, stream }: ResidualWriter,
  before: Float64Array,
  after: Float64Array,
  n: number,
  width: number,
): Promise<void> => {
  const { graph } = program;
  const w = Float64Array.from(readSiteMatrix(site));
  const turned = await matmul({ a: after, rows: width, inner: n, b: w, columns: site.columns, transposeA: true });
  setMatrix(site, turned, width, site.columns);
  const sum = stream.producer!;
  const index = sum.inputs.findIndex((value) => value !== site.output);
  const past = sum.inputs[index]!;
  const name = `${sum.name || stream.name}/turn`;
  const matrix = await transition(before, after, n, width);
  const constant = graph.addInitializer(
    nameSource(graph).fresh(`${name}.weight`),
    floatTensor([width, width], Float32Array.from(matrix)),
  );
  const node = insertNode(
    { op: 'MatMul', name, inputs: [past, constant], outputs: [`${name}/output`] },
    { graph, before: sum },
  );
  const block = site.node.metadata.get(blockKey);
  if (block !== undefined) node.metadata.set(blockKey, block);
  sum.setInput(index, outputOf(node));
};

/** W ← W Q √(n/width), ε ← ε n/width: the mean is taken over fewer numbers than before. */
const readRotated = async (
  { norm, readers }: StreamState,
  basis: Float64Array,
  n: number,
  width: number,
): Promise<void> => {
  const scale = Math.sqrt(n / width);
  for (const site of readers) {
    const w = Float64Array.from(readSiteMatrix(site));
    const turned = await matmul({ a: w, rows: site.rows, inner: n, b: basis, columns: width });
    setMatrix(
      site,
      turned.map((value) => value * scale),
      site.rows,
      width,
    );
  }
  const { node, index } = norm!.epsilonAt;
  const graph = node.graph!;
  const dtype = constantOf(node.inputs[index])!.dtype;
  const name = nameSource(graph).fresh(`${norm!.output.name}/epsilon`);
  node.setInput(index, graph.addInitializer(name, tensorOf(dtype, [], [(norm!.epsilon * n) / width])));
};

/** The greatest width whose weights, with the small products beside the branches, are within the ratio. */
const widthFor = (program: Program, options: SliceOptions, most: number): number => {
  const sites = options.measure === 'block_parameters' ? blockSites(program) : findSites(program);
  const states = streamStates(program);
  const n = embeddings(program, states[0]!.value)[0]!.columns;
  const outputs = new Set(states.flatMap(({ writer }) => (writer ? [writer.site.name] : [])));
  const inputs = new Set(states.flatMap(({ readers }) => readers.map(({ name }) => name)));
  const counted = sites.filter(({ op }) => options.measure !== 'operations' || op !== 'Gather');
  const left = (width: number): number =>
    counted.reduce(
      (sum, site) => {
        const turned = outputs.has(site.name) || inputs.has(site.name) || site.op === 'Gather';
        return sum + site.rows * site.columns * (turned ? width / n : 1);
      },
      outputs.size * width ** 2,
    );
  const widths = Array.from({ length: n - 1 }, (_, index) => n - 1 - index).filter(
    (width) => width % options.multiple === 0,
  );
  const found = widths.find((width) => left(width) <= most);
  if (found !== undefined) return found;
  throw new CompressError({
    code: 'mismatch',
    message: 'the ratio would leave the residual stream without any dimension',
    where: { key: 'ratio' },
    hint: 'Ask for less: every branch needs a product beside it, which eats up what narrow streams save.',
  });
};

export const sliceGpt: TransformMethod = {
  summary: 'the residual stream is rotated into its principal directions and narrowed (SliceGPT)',
  keepsStreams: false,
  apply: async ({ program, options, context, most }): Promise<Finding[]> => {
    const width = widthFor(program, options, most);
    await sliceStream(program, width, context);
    return [{ kind: 'fact', text: `the residual stream keeps ${width} dimensions`, facts: { width } }];
  },
};
