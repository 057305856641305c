import { findSites, type Site } from '../../../../analysis/sites.ts';
import { type NumericArray, takeSamples } from '../../../../calibration/dataset.ts';
import { observeProgram } from '../../../../execution/observe.ts';
import { cloneProgram } from '../../../../ir/clone.ts';
import { nameSource } from '../../../../ir/edit/names.ts';
import { intAttribute, Node, type Program, Value } from '../../../../ir/graph.ts';
import type { StageContext } from '../../../stage.ts';
import { exposeValues } from '../expose.ts';
import { NodeWriter } from '../node-writer.ts';
import type { DynamicOptions } from '../options.ts';
import { newLowering } from './form.ts';
import { lowerSites } from './lower.ts';

/** Samples that decide whether a site can run on integers. */
const probeSamples = 16;

/** Scalars of a probed site: the energy of its output, and of what quantization changes in it. */
interface Probe {
  readonly signal: Value;
  readonly noise: Value;
}

/** A twin of a site's node that reads the same values; the first output is wanted, others are left out. */
const twinOf = (site: Site, names: { fresh(base: string): string }): Node => {
  const { node, graph, output } = site;
  const index = node.outputs.indexOf(output);
  const twin = new Node({
    op: node.op,
    domain: node.domain,
    name: names.fresh(`${node.name || output.name}/twin`),
    inputs: node.inputs,
    outputs: node.outputs.map((value, at) =>
      at === index && value ? new Value(names.fresh(`${value.name}/twin`)) : undefined,
    ),
    attributes: node.attributes,
  });
  return graph.insertAfter(twin, node);
};

const sumOfSquares = (writer: NodeWriter, value: Value, name: string): Value =>
  writer.add({ op: 'ReduceSumSquare', inputs: [value], attributes: { keepdims: intAttribute(0) }, name });

/** Puts a quantized twin beside every site and compares the two outputs. Returns the probes by site name. */
const insertProbes = (program: Program, sites: readonly Site[], options: DynamicOptions): Map<string, Probe> => {
  const names = nameSource(program.graph);
  const twins = new Map<Node, Node>();
  const probes = new Map<string, Probe>();
  for (const site of sites) {
    const known = twins.get(site.node);
    if (known) continue;
    const twin = twinOf(site, names);
    twins.set(site.node, twin);
    const quantized = twin.outputs.find((value) => value !== undefined)!;
    const next = site.graph.nodes[site.graph.nodes.indexOf(twin) + 1];
    const writer = new NodeWriter(names, site.graph, next);
    const difference = writer.add({
      op: 'Sub',
      inputs: [site.output, quantized],
      name: `${site.output.name}/difference`,
    });
    const probe = {
      signal: sumOfSquares(writer, site.output, `${site.output.name}/signal`),
      noise: sumOfSquares(writer, difference, `${site.output.name}/noise`),
    };
    for (const other of sites) if (other.node === site.node) probes.set(other.name, probe);
  }
  const twinNodes = new Set(twins.values());
  const twinSites = findSites(program).filter((site) => twinNodes.has(site.node));
  lowerSites(twinSites, newLowering(program, names, options));
  return probes;
};

/** Adds up a scalar over all runs; a branch that was not taken adds nothing. */
const summing = (): { total: number; runs: number; observe(array: NumericArray): void } => ({
  total: 0,
  runs: 0,
  observe(array) {
    if (array.data.length === 0) return;
    this.total += Number(array.data[0]);
    this.runs++;
  },
});

/**
 * Signal-to-noise ratio (decibels) of every site's output when that site alone runs on integers, by site name. One
 * pass over a few samples for all sites. Sites that the data never reach are missing.
 */
export const probeSites = async (
  source: Program,
  wanted: readonly Site[],
  options: DynamicOptions,
  context: StageContext,
): Promise<ReadonlyMap<string, number>> => {
  const { calibration, engine, scratch, emit, signal } = context;
  if (!calibration) return new Map();
  const program = cloneProgram(source);
  const names = new Set(wanted.map((site) => site.name));
  const sites = findSites(program).filter((site) => names.has(site.name));
  const probes = insertProbes(program, sites, options);
  const exposed = exposeValues(
    program,
    [...probes.values()].flatMap((probe) => [probe.signal, probe.noise]),
  );
  const sums = new Map([...exposed.places.keys()].map((value) => [value, summing()]));
  await observeProgram({
    program: exposed.program,
    dataset: takeSamples(calibration, probeSamples),
    engine,
    observations: [...exposed.places].map(([value, place]) => ({ value: place, observer: sums.get(value)! })),
    task: 'probe',
    scratch,
    emit,
    signal,
  });
  const ratios = new Map<string, number>();
  for (const [name, probe] of probes) {
    const [power, noise] = [sums.get(probe.signal), sums.get(probe.noise)];
    if (power?.runs && noise) ratios.set(name, 10 * Math.log10(power.total / noise.total));
  }
  return ratios;
};
