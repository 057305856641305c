import { realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve, win32 } from 'node:path';
import { CompressError } from '../../../errors.ts';
import type { DataType } from '../../../ir/data-type.ts';
import { FileTensor } from '../../../ir/tensor.ts';

/** Where external_data says that a tensor's bytes are. */
export interface ExternalPlace {
  readonly location: string;
  readonly offset: number;
  /** Undefined: as many bytes as the tensor needs. */
  readonly length: number | undefined;
}

interface DataFile {
  readonly path: string;
  readonly byteLength: number;
}

const isWithin = (folder: string, path: string): boolean => {
  const step = relative(folder, path);
  return step !== '' && !step.startsWith('..') && !isAbsolute(step);
};

/** Files of external data beside one model. A location must stay inside the model's folder, links resolved. */
export class ExternalFiles {
  readonly #modelPath: string | undefined;
  readonly #folder: string | undefined;
  readonly #roots: readonly string[];
  readonly #known = new Map<string, DataFile>();

  /**
   * @param folder Folder of the model; undefined when the model came as bytes alone.
   * @param modelPath The model's file: where it is itself a link, files beside its target are allowed too.
   */
  constructor(folder: string | undefined, modelPath?: string) {
    this.#folder = folder;
    this.#modelPath = modelPath;
    const roots = [
      ...(folder === undefined ? [] : [folder]),
      ...(modelPath === undefined ? [] : [dirname(realpathSync(modelPath))]),
    ];
    this.#roots = [...new Set(roots.map((root) => realpathSync(root)))];
  }

  /** @throws when the location leaves the folder, does not exist, or does not hold the tensor's bytes. */
  tensor(
    name: string,
    dtype: DataType,
    shape: readonly number[],
    byteLength: number,
    place: ExternalPlace,
  ): FileTensor {
    const file = this.#open(name, place.location);
    const where = { file: file.path, tensor: name, byteOffset: place.offset };
    if (place.length !== undefined && place.length !== byteLength)
      throw new CompressError({
        code: 'malformed',
        message: `external data of ${place.length} bytes is given for a ${dtype} tensor [${shape.join(', ')}] of ${byteLength} bytes`,
        where,
      });
    if (place.offset + byteLength > file.byteLength)
      throw new CompressError({
        code: 'malformed',
        message: `the tensor's bytes ${place.offset}..${place.offset + byteLength} lie beyond the file's end at ${file.byteLength}`,
        where,
        hint: 'The data file was cut short or belongs to another model.',
      });
    return new FileTensor(dtype, shape, file.path, place.offset);
  }

  #open(tensor: string, location: string): DataFile {
    const known = this.#known.get(location);
    if (known) return known;
    const where = { ...(this.#modelPath === undefined ? {} : { file: this.#modelPath }), tensor };
    if (this.#folder === undefined)
      throw new CompressError({
        code: 'unsupported',
        message: `the tensor's data is in the file ${location}, but the model was given without its folder`,
        where,
      });
    const unsafe = (reason: string): CompressError =>
      new CompressError({
        code: 'unsafe',
        message: `external data location "${location}" ${reason}`,
        where,
        hint: 'External data must lie in the folder of the model. Copy the files there (links followed) if you trust them.',
      });
    const parts = location.split(/[\\/]/);
    if (location === '' || location.includes('\0')) throw unsafe('is no file name');
    if (isAbsolute(location) || win32.isAbsolute(location) || /^[a-z]:/i.test(location))
      throw unsafe('is an absolute path');
    if (parts.includes('..')) throw unsafe('leads out of the model folder');
    const path = resolve(this.#folder, join(...parts));
    let real: string;
    try {
      real = realpathSync(path);
    } catch (cause) {
      throw new CompressError({
        code: 'not-found',
        message: `external data file ${location} does not exist`,
        where,
        cause,
      });
    }
    if (!this.#roots.some((root) => isWithin(root, real))) throw unsafe(`is a link that leads out of the model folder`);
    const facts = statSync(real);
    if (!facts.isFile()) throw unsafe('is not a plain file');
    const file = { path: real, byteLength: facts.size };
    this.#known.set(location, file);
    return file;
  }
}
