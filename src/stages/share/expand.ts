import { measureCost } from '../../analysis/cost.ts';
import { layerNumber, renumbered } from '../../analysis/layer-numbers.ts';
import { readSiteMatrix } from '../../analysis/site-weights.ts';
import { findSites } from '../../analysis/sites.ts';
import { CompressError } from '../../errors.ts';
import { freshName } from '../../ir/edit/names.ts';
import type { Program, Value } from '../../ir/graph.ts';
import { inferShapes } from '../../ir/inference/index.ts';
import { blockKey, type Model } from '../../ir/model.ts';
import { readFloats, tensorOf } from '../../ir/read.ts';
import type { Tensor } from '../../ir/tensor.ts';
import type { StageResult } from '../stage.ts';
import { cutPlaces, findShareLanes } from './groups.ts';
import { linearFit, placeOf } from './methods/linear.ts';
import type { SharedWeights } from './methods/method.ts';
import type { ShareOptions } from './options.ts';
import { layersOf, repeatLayers } from './repeat-layers.ts';
import { shareSites } from './share-sites.ts';

/** What `count` layers share, from the weights of the original ones: two matrices, or those of the first of each group. */
const sharedOf = (
  weights: readonly Float64Array[],
  sources: readonly number[],
  options: Pick<ShareOptions, 'method' | 'group' | 'pattern'>,
): { readonly places: readonly number[]; readonly weights: SharedWeights }[] => {
  const count = sources.length;
  const residuals = (places: readonly number[]): undefined[] => places.map(() => undefined);
  if (options.method === 'linear') {
    const { base, slope } = linearFit(weights);
    const places = sources.map((_, layer) => layer);
    const coefficients = places.map((layer) => [1, placeOf(layer, count)]);
    return [{ places, weights: { kind: 'atoms', atoms: [base, slope], coefficients, residuals: residuals(places) } }];
  }
  const group = options.group === 'auto' ? 2 : options.group;
  return cutPlaces(weights.length, { ...options, group }).flatMap((members) => {
    const places = sources.flatMap((source, layer) => (members.includes(source) ? [layer] : []));
    const coefficients = places.map(() => [1]);
    const atoms = [weights[members[0]!]!];
    return places.length > 0
      ? [{ places, weights: { kind: 'atoms', atoms, coefficients, residuals: residuals(places) } as const }]
      : [];
  });
};

/** Small constants of the layers (norms, biases) by what they are, each as one list over the layers. */
const smallConstants = (program: Program, weights: ReadonlySet<Value>): Map<string, (Tensor | undefined)[]> => {
  const found = new Map<string, (Tensor | undefined)[]>();
  const numbers = layersOf(program).map(({ number }) => number);
  for (const value of program.graph.initializers) {
    const own = layerNumber(value.name);
    const place = own === undefined ? -1 : numbers.indexOf(own);
    if (place < 0 || weights.has(value) || value.tensor?.dtype !== 'float32') continue;
    const key = renumbered(value.name, new Map([[own!, 0]]));
    const list = found.get(key) ?? numbers.map(() => undefined);
    list[place] = value.tensor;
    found.set(key, list);
  }
  return found;
};

/** Gives every layer small constants of its own: at its place on the line through those of the original layers. */
const ownConstants = (program: Program, originals: ReadonlyMap<string, readonly (Tensor | undefined)[]>): void => {
  const { graph } = program;
  const layers = layersOf(program);
  for (const [layer, { number, block }] of layers.entries())
    for (const node of block.nodes)
      for (const [index, value] of node.inputs.entries()) {
        const own = value && graph.initializers.has(value) ? layerNumber(value.name) : undefined;
        const tensors = own === undefined ? undefined : originals.get(renumbered(value!.name, new Map([[own, 0]])));
        const [first] = tensors ?? [];
        if (!first || tensors!.some((tensor) => tensor?.shape.join() !== first.shape.join())) continue;
        const { base, slope } = linearFit(tensors!.map((tensor) => Float64Array.from(readFloats(tensor!))));
        const t = placeOf(layer, layers.length);
        const numbers = base.map((at, element) => at + t * slope[element]!);
        const name = freshName(graph, `${renumbered(value!.name, new Map([[own!, number]]))}.own`);
        node.setInput(index, graph.addInitializer(name, tensorOf('float32', first.shape, numbers)));
      }
};

const dropUnread = ({ graph }: Program): void => {
  for (const value of graph.initializers)
    if (value.uses.length === 0 && !graph.inputs.includes(value) && !graph.outputs.includes(value))
      graph.initializers.delete(value);
};

/**
 * A model of any depth made of the weights that its layers share: on the line between two matrices (Learngene TLEG,
 * 2312.05614), norms too, or the weights of stages, each repeated (weight sharing by stages, 2404.16897; norms are those
 * of the nearest layer). Its layers are linear in depth or alike then, whatever they were: heal what comes out.
 * @throws 'mismatch' where nothing can be shared, 'usage' for methods that know no depth; as `repeatLayers`.
 */
export const expandLayers = (model: Model, options: ShareOptions, depth: number): StageResult => {
  if (options.method !== 'linear' && options.method !== 'tied')
    throw new CompressError({
      code: 'usage',
      message: `method ${options.method} makes no model of another depth`,
      where: { key: 'depth' },
      hint: 'Use method linear or tied.',
    });
  const { lanes, kept, findings } = findShareLanes(model.program, options);
  const count = layersOf(model.program).length;
  const complete = lanes.filter(({ sites }) => sites.length === count);
  if (complete.length === 0)
    throw new CompressError({
      code: 'mismatch',
      message: 'no weight is there in all layers, so none can be shared',
      hint: [...new Set(kept.values())].slice(0, 3).join('; ') || 'The model has no weight products.',
    });
  const matrices = complete.map(({ sites }) => sites.map((site) => Float64Array.from(readSiteMatrix(site))));
  const places = complete.map(({ sites }) => sites.map(({ name }) => name));
  const constants = smallConstants(model.program, new Set(findSites(model.program).map(({ weight }) => weight)));
  const sources = Array.from({ length: depth }, (_, layer) => Math.round(placeOf(layer, depth) * (count - 1)));
  const repeated = repeatLayers(model, sources);
  const { program } = repeated;
  for (const [lane, weights] of matrices.entries()) {
    const part = renumbered(places[lane]![0]!, new Map([[layerNumber(places[lane]![0]!) ?? 0, 0]]));
    const sites = findSites(program).filter(
      ({ name, block }) => block !== undefined && renumbered(name, new Map([[layerNumber(name) ?? 0, 0]])) === part,
    );
    sites.sort((a, b) => Number(a.node.metadata.get(blockKey)) - Number(b.node.metadata.get(blockKey)));
    for (const { places: members, weights: made } of sharedOf(weights, sources, options))
      shareSites(
        members.map((layer) => sites[layer]!),
        made,
      );
  }
  if (options.method === 'linear') ownConstants(program, constants);
  dropUnread(program);
  inferShapes(program);
  const [before, after] = [measureCost(model.program), measureCost(program)];
  return {
    model: repeated,
    findings: [
      ...findings,
      {
        kind: 'fact',
        text: `${depth} layers of what ${count} have become: ${complete.length} weights of each are shared (${options.method}), ${after.storedBytes} bytes of constants instead of ${before.storedBytes}`,
        facts: {
          layers_before: count,
          layers_after: depth,
          bytes_before: before.storedBytes,
          bytes_after: after.storedBytes,
        },
      },
    ],
  };
};
