import { siteTensor } from '../../../../analysis/site-weights.ts';
import type { Site } from '../../../../analysis/sites.ts';
import { intAttribute, type Value } from '../../../../ir/graph.ts';
import { floatTensor, intTensor, readFloats } from '../../../../ir/read.ts';
import { constantOf } from '../../../../ir/walk.ts';
import { NodeWriter } from '../node-writer.ts';
import { finishSite } from './finish.ts';
import {
  type DynamicInput,
  type IntegerWeight,
  integerWeight,
  type Lowering,
  mainConstant,
  scalarConstant,
} from './form.ts';

/** ONNX's number of float32, for Cast. */
const float32 = intAttribute(1);

/**
 * An int32 accumulator turned into numbers: Cast(accumulator) · (input scale · weight scales). Scales of rows are
 * multiplied in one after the other: their product with those of the weight would be as large as the result.
 */
const rescale = (
  writer: NodeWriter,
  site: Site,
  fields: { readonly accumulator: Value; readonly input: DynamicInput; readonly weightScales: Value },
): Value => {
  const { name } = site.output;
  const { accumulator, input, weightScales } = fields;
  const numbers = writer.add({ op: 'Cast', inputs: [accumulator], attributes: { to: float32 }, name: `${name}_f` });
  const multiply = (a: Value, b: Value, suffix: string): Value =>
    writer.add({ op: 'Mul', inputs: [a, b], name: `${name}${suffix}` });
  return input.scaled === 'rows'
    ? multiply(multiply(numbers, input.scale, '_s'), weightScales, '_y')
    : multiply(numbers, multiply(input.scale, weightScales, '_s'), '_y');
};

/** A bias read by an Add, in the shape that adds to the output's channels. */
const addBias = (writer: NodeWriter, site: Site, value: Value, bias: Value): Value =>
  writer.add({ op: 'Add', inputs: [value, bias], name: `${site.output.name}_b` });

/** True when the weight reaches its MatMul through a Transpose (a head tied to an embedding). */
const readsTransposed = (site: Site): boolean => site.node.inputs[site.weightIndex] !== site.weight;

/** The codes as (columns, rows), the way MatMulInteger multiplies. */
const matrixCodes = (site: Site, lowering: Lowering, writer: NodeWriter): IntegerWeight => {
  const dtype = lowering.options.weightType;
  if (site.layout === 'rows-last') return integerWeight(site, lowering, { dtype });
  if (!readsTransposed(site)) return integerWeight(site, lowering, { dtype, arrangement: 'transposed' });
  const weight = integerWeight(site, lowering, { dtype });
  return { ...weight, codes: writer.add({ op: 'Transpose', inputs: [weight.codes], name: `${site.weight.name}_t` }) };
};

/** MatMul and Gemm: rounding of the input, MatMulInteger, rescaling, bias. */
export const lowerMatrixProduct = (site: Site, lowering: Lowering): void => {
  const { node } = site;
  const input = lowering.inputs.of(site, lowering.options.perToken ? 'rows' : 'whole');
  const writer = new NodeWriter(lowering.names, site.graph, node);
  const weight = matrixCodes(site, lowering, writer);
  const accumulator = writer.add({
    op: 'MatMulInteger',
    inputs: [input.codes, weight.codes, input.zeroPoint, weight.zeroPoint].slice(0, weight.zeroPoint ? 4 : 3),
    name: `${site.output.name}_i`,
  });
  const product = rescale(writer, site, { accumulator, input, weightScales: weight.scales });
  finishSite(site, site.op === 'Gemm' ? addGemmTerms(site, lowering, writer, product) : product);
};

/** alpha · product + beta · bias. */
const addGemmTerms = (site: Site, lowering: Lowering, writer: NodeWriter, product: Value): Value => {
  const { node } = site;
  const scaled = (value: Value, factor: number, name: string): Value =>
    factor === 1
      ? value
      : writer.add({
          op: 'Mul',
          inputs: [value, scalarConstant(lowering, `${name}_factor`, factor)],
          name: `${name}_scaled`,
        });
  const alphaProduct = scaled(product, node.float('alpha', 1), site.output.name);
  const bias = node.inputs[2];
  return bias ? addBias(writer, site, alphaProduct, scaled(bias, node.float('beta', 1), bias.name)) : alphaProduct;
};

/** Numbers per output channel as a constant of shape (channels, 1, …, 1), to meet a convolution's output. */
const alongChannels = (lowering: Lowering, name: string, numbers: Float32Array, rank: number): Value =>
  mainConstant(lowering, name, floatTensor([numbers.length, ...Array<number>(rank - 2).fill(1)], numbers));

/** Conv: DynamicQuantizeLinear, ConvInteger with one scale per output channel, rescaling, bias. */
export const lowerConvolution = (site: Site, lowering: Lowering): void => {
  const { node } = site;
  const rank = siteTensor(site).shape.length;
  const weight = integerWeight(site, lowering, {
    dtype: lowering.options.weightType,
    scaleShape: [site.rows, ...Array<number>(rank - 2).fill(1)],
  });
  const input = lowering.inputs.of(site, 'whole');
  const writer = new NodeWriter(lowering.names, site.graph, node);
  const accumulator = writer.add({
    op: 'ConvInteger',
    inputs: [input.codes, weight.codes, input.zeroPoint, weight.zeroPoint].slice(0, weight.zeroPoint ? 4 : 3),
    attributes: Object.fromEntries(node.attributes),
    name: `${site.output.name}_i`,
  });
  const product = rescale(writer, site, { accumulator, input, weightScales: weight.scales });
  finishSite(site, addConvolutionBias(site, lowering, writer, product, rank));
};

const addConvolutionBias = (
  site: Site,
  lowering: Lowering,
  writer: NodeWriter,
  product: Value,
  rank: number,
): Value => {
  const bias = site.node.inputs[2];
  if (!bias) return product;
  const tensor = constantOf(bias);
  if (tensor)
    return addBias(writer, site, product, alongChannels(lowering, `${bias.name}_c`, readFloats(tensor), rank));
  const shape = mainConstant(
    lowering,
    `${bias.name}_shape`,
    intTensor([rank - 1], [-1, ...Array<number>(rank - 2).fill(1)]),
  );
  const shaped = writer.add({ op: 'Reshape', inputs: [bias, shape], name: `${bias.name}_c` });
  return addBias(writer, site, product, shaped);
};
