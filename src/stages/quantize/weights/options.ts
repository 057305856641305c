import { z } from 'zod';
import { codebooks } from '../codebook/options.ts';
import { codeWidths, type RequestedScheme } from './scheme.ts';

/** Where a problem of an option is reported: zod's refinement context. */
type Issues = z.core.$RefinementCtx;

/**
 * The one value among a key and its aliases.
 * Naming two of them in one place is an issue, even when they agree: nobody can tell which one was meant.
 */
export const oneOf = <T extends object, K extends keyof T & string>(
  input: T,
  keys: readonly K[],
  issues: Issues,
  path: readonly (string | number)[] = [],
): Exclude<T[K], undefined> | undefined => {
  const given = keys.filter((key) => input[key] !== undefined);
  const [first, second] = given;
  if (first !== undefined && second !== undefined)
    issues.addIssue({
      code: 'custom',
      message: `"${second}" is an alias of "${first}": keep one of them`,
      path: [...path, second],
    });
  return first === undefined ? undefined : (input[first] as Exclude<T[K], undefined>);
};

const groupSize = z.union([z.int().min(16), z.literal(-1), z.literal('row')]);
const symmetry = z.union([z.boolean(), z.literal('narrow')]);

/** `weights` of a recipe, as it is written. */
export const weightsInput = z
  .strictObject({
    bits: z
      .literal(['auto', ...codeWidths])
      .optional()
      .describe(
        'Bits of a weight (default 4). 3-bit values are stored in 4 bits. auto: the width (and group size) that a sensitivity stage before this one has allocated to each weight.',
      ),
    group_size: groupSize
      .optional()
      .describe(
        'Inputs that share a scale (default 32, the size that every runtime takes): at least 16, or -1 or "row" for one scale per output. MatMulNBits needs a power of two or whole rows; other sizes are written as DequantizeLinear.',
      ),
    block_size: groupSize.optional().describe('Alias of group_size (the word of ONNX).'),
    sym: symmetry
      .optional()
      .describe(
        'false (default): a zero point per group. true: no zero points, the scale absmax/-2^(bits-1) uses the whole code range. "narrow": codes of ±(2^(bits-1)-1) with a positive scale.',
      ),
    symmetric: symmetry.optional().describe('Alias of sym.'),
    clip: z
      .enum(['none', 'mse', 'hessian', 'auto'])
      .optional()
      .describe(
        'Search of a narrower range per group: none (default of rtn), mse (least error of the weights), hessian (columns weighted by the second moment of their inputs), auto (default of methods that use calibration data: for each output the best of these by the error of the output). The last two need calibration data.',
      ),
    codebook: z
      .enum(codebooks)
      .optional()
      .describe(
        'Entries of tables instead of evenly spaced numbers, with 2 to 4 bits. kmeans: a table of each row, the best one for its weights and inputs, in half precision; ONNX files hold packed codes and tables that runtimes put together when loading (small on disk, not in memory). nf4: NormalFloat of 4 bits in blocks of 64, as MatMulBnb4 where the format has it. With it, bits is the only other key.',
      ),
  })
  .describe('How weights are rounded.');

export type WeightsInput = z.infer<typeof weightsInput>;

const gridOf = (symmetric: WeightsInput['sym']): RequestedScheme['grid'] | undefined => {
  if (symmetric === undefined) return undefined;
  if (symmetric === 'narrow') return 'symmetric-narrow';
  return symmetric ? 'symmetric' : 'asymmetric';
};

/** The decided part of a scheme: keys that the recipe does not name are absent. */
export const normaliseWeights = (
  input: WeightsInput,
  issues: Issues,
  path: readonly (string | number)[],
): Partial<RequestedScheme> => {
  if (input.codebook !== undefined)
    issues.addIssue({
      code: 'custom',
      message: '"codebook" has a meaning only for all weights of a stage: give these sites a stage of their own',
      path: [...path, 'codebook'],
    });
  const size = oneOf(input, ['group_size', 'block_size'], issues, path);
  const grid = gridOf(oneOf(input, ['sym', 'symmetric'], issues, path));
  return {
    ...(input.bits === undefined ? {} : { bits: input.bits }),
    ...(size === undefined ? {} : { groupSize: size === -1 ? ('row' as const) : size }),
    ...(grid === undefined ? {} : { grid }),
    ...(input.clip === undefined ? {} : { clip: input.clip }),
  };
};

/** What a recipe that says nothing gets. */
export const defaultScheme: RequestedScheme = { bits: 4, groupSize: 32, grid: 'asymmetric', clip: 'usual' };
