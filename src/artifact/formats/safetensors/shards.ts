import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { CompressError, CompressErrors } from '../../../errors.ts';
import { readJsonObject } from '../../json-file.ts';
import { missingTensor, openSafetensors, type SafetensorsSource } from './open.ts';

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

/** A shard is a file in the folder of its index, never a path out of it. */
const isPlainName = (name: string): boolean => /^[\w.-]+$/.test(name) && !/^\.+$/.test(name);

const readWeightMap = (indexPath: string): ReadonlyMap<string, string> => {
  const parsed = indexSchema.safeParse(readJsonObject(indexPath));
  if (!parsed.success)
    throw new CompressError({
      code: 'malformed',
      message: 'the index of a sharded checkpoint needs a weight_map from tensor names to file names',
      where: { file: indexPath, key: 'weight_map' },
    });
  const map = new Map(Object.entries(parsed.data.weight_map));
  for (const [tensor, shard] of map)
    if (!isPlainName(shard))
      throw new CompressError({
        code: 'unsafe',
        message: `the index places a tensor in "${shard}", which is no file name in the folder of the checkpoint`,
        where: { file: indexPath, key: `weight_map.${tensor}`, tensor },
      });
  return map;
};

/**
 * Opens a sharded checkpoint by its index. Every shard must exist and hold the tensors that the index places in it.
 * @throws all missing shards together; a mismatch naming tensor and shard.
 */
export const openShards = (indexPath: string): SafetensorsSource => {
  const folder = dirname(indexPath);
  const weightMap = readWeightMap(indexPath);
  const tensorsIn = new Map<string, string[]>();
  for (const [tensor, shard] of weightMap) tensorsIn.set(shard, [...(tensorsIn.get(shard) ?? []), tensor]);
  const missing = [...tensorsIn].filter(([shard]) => !existsSync(join(folder, shard)));
  if (missing.length > 0)
    throw new CompressErrors(
      missing.map(
        ([shard, tensors]) =>
          new CompressError({
            code: 'not-found',
            message: `the shard ${shard} is missing; ${tensors.length} tensors are in it, ${tensors[0]} among them`,
            where: { file: join(folder, shard) },
            hint: 'Download the checkpoint again, whole.',
          }),
      ),
    );
  const shards = new Map([...tensorsIn.keys()].map((shard) => [shard, openSafetensors(join(folder, shard))]));
  for (const [shard, tensors] of tensorsIn) {
    const absent = tensors.find((tensor) => !shards.get(shard)?.has(tensor));
    if (absent !== undefined)
      throw new CompressError({
        code: 'mismatch',
        message: `the index places the tensor ${absent} in ${shard}, which does not hold it`,
        where: { file: indexPath, tensor: absent },
        hint: 'Index and shards belong to different versions of the checkpoint.',
      });
  }
  const sourceOf = (name: string): SafetensorsSource | undefined => shards.get(weightMap.get(name) ?? '');
  return {
    names: [...weightMap.keys()],
    origin: folder,
    metadata: shards.values().next().value?.metadata ?? new Map(),
    files: [...shards.keys()].map((shard) => join(folder, shard)),
    has: (name) => weightMap.has(name),
    get: (name) => {
      const source = sourceOf(name);
      if (!source) throw missingTensor(name, folder);
      return source.get(name);
    },
  };
};
