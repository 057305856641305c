import { join } from 'node:path';
import { z } from 'zod';
import { allGraphs } from '../../../ir/walk.ts';
import type { FormatCard } from '../format.ts';
import { weightFacts } from '../weight-facts.ts';
import { type NamedTensor, writeSafetensors } from './write.ts';

const fileName = 'model.safetensors';

/** The weights alone: every initializer under its name, in the shape that the graph holds it in. */
export const safetensorsFormat: FormatCard<Record<string, never>> = {
  name: 'safetensors',
  summary: "The graph's weights by name, as plain arrays; quantized ones dequantized",
  options: z.strictObject({}),
  layout: undefined,
  foresee: (weights) =>
    weights.length === 0
      ? []
      : [{ kind: 'warning', text: `safetensors holds ${weights.length} quantized weights dequantized` }],
  async write(model, directory, _options, context) {
    const tensors: NamedTensor[] = [];
    for (const graph of allGraphs(model.program))
      for (const { name, tensor } of graph.initializers)
        if (tensor && tensor.kind !== 'strings') tensors.push({ name, tensor });
    const file = await writeSafetensors(join(directory, fileName), tensors, { format: 'modelpress' }, context);
    return { files: [file], entry: undefined, weights: weightFacts(model.program, undefined), findings: [] };
  },
};
