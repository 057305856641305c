import { findSites, type Site } from '../../analysis/sites.ts';
import { appendGradients } from '../../autodiff/gradient.ts';
import { prepareForGradients } from '../../autodiff/prepare.ts';
import { CompressError } from '../../errors.ts';
import { filledArray, floatsOfArray } from '../../execution/arrays.ts';
import { withSession } from '../../execution/session.ts';
import { inputSignature } from '../../execution/signature.ts';
import { OperatorBuilder } from '../../ir/build.ts';
import { cloneProgram } from '../../ir/clone.ts';
import { setConstant } from '../../ir/edit/replace.ts';
import { intAttribute, type Program } from '../../ir/graph.ts';
import { inferShapes } from '../../ir/inference/index.ts';
import { floatTensor, readFloats } from '../../ir/read.ts';
import type { StageContext } from '../stage.ts';

/** The network with the sizes of its weights in place of them. */
const withSizes = (given: Program): Program => {
  const program = cloneProgram(given);
  for (const value of program.graph.initializers)
    if (value.tensor?.dtype === 'float32')
      setConstant(value, floatTensor(value.tensor.shape, readFloats(value.tensor).map(Math.abs)));
  inferShapes(program);
  return program;
};

/** Elements of a kernel that read one channel. */
const kernelOf = (site: Site): number =>
  (site.weight.tensor?.shape ?? []).slice(site.op === 'Conv' ? 2 : 99).reduce((size, length) => size * length, 1);

/**
 * Synaptic flow (Tanaka et al. 2020, section 5): with R the sum of the outputs of the network of |W| fed with ones, the
 * saliency x_j ∂R/∂x_j of every input of a product. It needs no data and no training, so that networks can be cut before
 * they are trained (FedPaI; HideNseek). For each site by name: (columns), a channel's share of each column of its kernel.
 * @throws 'unsupported' for models that take token ids, 'numeric' where sums leave the range of floats.
 */
export const synapticFlow = async (
  given: Program,
  names: ReadonlySet<string>,
  { engine, scratch, signal }: Pick<StageContext, 'engine' | 'scratch' | 'signal'>,
): Promise<ReadonlyMap<string, Float64Array>> => {
  const signature = inputSignature(given);
  const other = signature.find(({ dtype }) => dtype !== 'float32');
  if (other)
    throw new CompressError({
      code: 'unsupported',
      message: `synaptic flow needs inputs of numbers, but ${other.name} takes ${other.dtype}`,
      where: { key: 'method' },
      hint: 'Use method magnitude, or obs with calibration data.',
    });
  const program = withSizes(given);
  prepareForGradients(program);
  inferShapes(program);
  const { graph } = program;
  const sites = findSites(program).filter((site) => names.has(site.name) && site.graph === graph);
  const b = new OperatorBuilder(graph, 'flow');
  const flow = b.call('ReduceSum', [graph.outputs[0]!], { keepdims: intAttribute(0) });
  inferShapes(program);
  const of = [...new Set(sites.map(({ input }) => input))];
  const { byValue } = appendGradients({ graph, loss: flow, of });
  graph.outputs.splice(0, graph.outputs.length, ...of, ...byValue.values());
  const feeds = new Map(
    signature.map(({ name, dtype, shape }) => [
      name,
      filledArray(
        dtype,
        (shape ?? [1]).map((length) => (typeof length === 'number' ? length : 1)),
        1,
      ),
    ]),
  );
  const outputs = await withSession(engine, program, { signal, scratchDirectory: scratch.directory }, (session) =>
    session.run(feeds),
  );
  const scores = new Map<string, Float64Array>();
  for (const site of sites) {
    const gradient = byValue.get(site.input);
    if (!gradient) continue;
    const [x, slopes] = [outputs.get(site.input.name)!, outputs.get(gradient.name)!].map(floatsOfArray);
    const kernel = kernelOf(site);
    const channels = site.columns / kernel;
    const positions = site.op === 'Conv' ? x!.length / (channels * site.groups) : 1;
    const own = new Float64Array(channels);
    x!.forEach((value, at) => {
      own[Math.floor(at / positions) % channels]! += value * slopes![at]!;
    });
    if (!own.every(Number.isFinite))
      throw new CompressError({
        code: 'numeric',
        message: 'synaptic flow leaves the range of floats: the network is too deep for it',
        where: { site: site.name },
        hint: 'Use method magnitude.',
      });
    scores.set(
      site.name,
      Float64Array.from({ length: site.columns }, (_, column) => own[Math.floor(column / kernel)]! / kernel),
    );
  }
  return scores;
};
