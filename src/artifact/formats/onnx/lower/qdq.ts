import { CompressError, CompressErrors, formatWhere } from '../../../../errors.ts';
import { cloneProgram } from '../../../../ir/clone.ts';
import { bitsOf } from '../../../../ir/data-type.ts';
import { type NameSource, nameSource } from '../../../../ir/edit/names.ts';
import { replaceAllUses, setConstant } from '../../../../ir/edit/replace.ts';
import { intAttribute, intsAttribute, Node, type Program, Value } from '../../../../ir/graph.ts';
import type { PackedTensor } from '../../../../ir/packed-tensor.ts';
import { intTensor } from '../../../../ir/read.ts';
import { DerivedTensor } from '../../../../ir/tensor.ts';
import type { Finding } from '../../../../recipe/events.ts';
import { lowerCodebooks } from './codebook.ts';
import { type LinearForm, linearForm } from './linear-form.ts';
import { irVersionFor, raiseIrVersion, upgradeOpset } from './opset.ts';
import { type PackedConstant, packedConstants, removeConstant, widenToFourBits } from './packed.ts';
import type { LoweredWeight, LoweringReport } from './report.ts';

const opsetOf = (program: Program): number => program.opsets.get('') ?? 1;

/** What an error says, with its place, in one line. */
const reasonsOf = (error: CompressError): string =>
  error instanceof CompressErrors
    ? error.errors.map(reasonsOf).join('; ')
    : `${error.message} (${formatWhere(error.where)})`;

/**
 * Raises the operator set as far as the packed weights need it, or as far as it goes. Returns what stood in the way.
 * The upgrade is tried on a copy first, since a refused one leaves its program half rewritten.
 */
const raiseFor = (program: Program, wanted: readonly number[]): Finding[] => {
  const findings: Finding[] = [];
  for (const opset of [...new Set(wanted)].sort((a, b) => b - a)) {
    const from = opsetOf(program);
    if (from >= opset) break;
    try {
      upgradeOpset(cloneProgram(program), opset);
    } catch (error) {
      if (!(error instanceof CompressError) || error.code !== 'unsupported') throw error;
      findings.push({ kind: 'warning', text: `the model stays below operator set ${opset}: ${reasonsOf(error)}` });
      continue;
    }
    upgradeOpset(program, opset);
    findings.push({ kind: 'fact', text: `the standard operator set was raised from ${from} to ${opset}` });
    break;
  }
  return findings;
};

/**
 * What can be stored as it is. onnxruntime (1.30) cannot load a Transpose (of a tied head) behind 2-bit integers with
 * zero points: they are stored in 4 bits.
 */
const storableTensor = ({ value, tensor }: PackedConstant): PackedTensor => {
  const { storedBits, zeroPoints } = tensor.facts;
  const transposed = value.uses.some(({ node }) => node.op === 'Transpose');
  return storedBits === 2 && zeroPoints && transposed ? widenToFourBits(tensor) : tensor;
};

/** Inserts DequantizeLinear (and what gives its result the weight's shape) where the constant stood. */
const insertDequantize = (constant: PackedConstant, form: LinearForm, names: NameSource): void => {
  const { value, graph, node: holder } = constant;
  const { name } = value;
  const before = holder ?? graph.nodes[0];
  const add = (suffix: string, tensor: LinearForm['data']): Value =>
    graph.addInitializer(names.fresh(`${name}_${suffix}`), tensor);
  const inputs = [add('quantized', form.data), add('scale', form.scales)];
  if (form.zeroPoints) inputs.push(add('zero_point', form.zeroPoints));
  const insert = (
    op: string,
    operands: Value[],
    attributes: ReadonlyMap<string, ReturnType<typeof intAttribute>>,
  ): Value => {
    const output = new Value(names.fresh(`${name}_${op}_Output`));
    graph.insert(
      new Node({ op, name: names.fresh(`${name}_${op}`), inputs: operands, outputs: [output], attributes }),
      before,
    );
    return output;
  };
  const attributes = new Map([['axis', intAttribute(form.axis)]]);
  if (form.blockSize > 0) attributes.set('block_size', intAttribute(form.blockSize));
  let result = insert('DequantizeLinear', inputs, attributes);
  if (form.reshape)
    result = insert('Reshape', [result, add('shape', intTensor([form.reshape.length], form.reshape))], new Map());
  if (form.transpose) result = insert('Transpose', [result], new Map([['perm', intsAttribute(form.transpose)]]));
  result.type = value.type;
  replaceAllUses(value, result, { graph });
  removeConstant(constant);
};

/**
 * Turns packed weights into integers behind DequantizeLinear (int2/4/8 around zero, or uint2/4/8 with zero points; one
 * scale per row or per block), in place, raising the operator set as far as that needs. Where the model cannot be
 * raised, weights are written out in floating point again and reported as fallbacks. Work on a copy: the program keeps
 * nothing packed. Weights of row tables become codes behind GatherElements.
 */
export const lowerToQdq = (program: Program): LoweringReport => {
  const codebooks = lowerCodebooks(program);
  const constants = packedConstants(program);
  if (constants.length === 0) return { weights: codebooks, findings: [] };
  const forms = new Map(constants.map((constant) => [constant.value, linearForm(storableTensor(constant))]));
  const findings = raiseFor(
    program,
    [...forms.values()].map(({ opset }) => opset),
  );
  raiseIrVersion(program, irVersionFor(opsetOf(program)));
  const names = nameSource(program.graph);
  const weights: LoweredWeight[] = [...codebooks];
  // Raising the operator set may have replaced nodes, never constants: look them up again for their holders.
  for (const constant of packedConstants(program)) {
    const { value, tensor } = constant;
    const form = forms.get(value)!;
    if (form.opset <= opsetOf(program)) {
      weights.push({
        weight: value.name,
        form: 'DequantizeLinear',
        bits: bitsOf(form.data.dtype),
        blockSize: form.blockSize,
      });
      insertDequantize(constant, form, names);
    } else {
      const text = `${value.name} is written in ${tensor.dtype}: its integers need operator set ${form.opset}`;
      findings.push({ kind: 'fallback', text });
      weights.push({ weight: value.name, form: 'dequantized', bits: bitsOf(tensor.dtype), blockSize: 0 });
      setConstant(value, new DerivedTensor(tensor.dtype, tensor.shape, () => tensor.bytes()));
    }
  }
  return { weights, findings };
};
