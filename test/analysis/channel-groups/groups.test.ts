import { describe, expect, it } from 'vitest';
import { findChannelGroups } from '../../../src/analysis/channel-groups/groups.ts';
import { openModel } from '../../../src/artifact/open.ts';
import { CompressError } from '../../../src/errors.ts';
import { foldConstants } from '../../../src/ir/edit/fold-constants.ts';
import type { Program } from '../../../src/ir/graph.ts';
import { parseProgram } from '../../../src/ir/text/parse.ts';
import { sharedData } from '../../shared.ts';
import { expectDeadChannelsToGo } from './dead-channels.ts';

const program = (header: string, statements: string, opset = 21): Program =>
  parseProgram(`program opset=${opset} com.microsoft=1\ngraph g${header} {\n${statements}\n}\n`);

const named = (given: Program): [string, number][] =>
  findChannelGroups(given).groups.map(({ name, count }) => [name, count]);

const weight = (name: string, shape: string, seed: number): string =>
  `${name}: float32[${shape}] = random(seed=${seed}, scale=0.5)`;

describe('channels that nothing reads any more may go, and outputs stay: by operators', () => {
  const cases: [string, Program, Record<string, number[]>, [string, number][]][] = [
    [
      'a gated product with a bias',
      program(
        '(x: float32[n, 6]) -> (y)',
        `${weight('wg', '6, 9', 1)}\n${weight('wu', '6, 9', 2)}\n${weight('b', '9', 3)}\n${weight('wd', '9, 6', 4)}
         g = MatMul(x, wg) { name: "gate" }
         u = MatMul(x, wu) { name: "up" }
         ub = Add(u, b)
         s = Sigmoid(g)
         h = Mul(s, ub)
         d = MatMul(h, wd) { name: "down" }
         y = Add(x, d)`,
      ),
      { x: [3, 6] },
      [['neurons of gate', 9]],
    ],
    [
      'a GELU written out, whose terms come from one product',
      program(
        '(x: float32[n, 6]) -> (y)',
        `${weight('wa', '6, 8', 1)}\n${weight('wb', '8, 6', 2)}\nsmall: float32[] = random(seed=6)
         a = MatMul(x, wa) { name: "first" }
         c = Mul(a, a)
         d = Mul(c, a)
         e = Mul(d, small)
         f = Add(a, e)
         t = Tanh(f)
         h = Mul(a, t)
         y = MatMul(h, wb) { name: "second" }`,
      ),
      { x: [3, 6] },
      [['neurons of first', 8]],
    ],
    [
      'a Gemm with a turned weight behind another',
      program(
        '(x: float32[n, 6]) -> (y)',
        `${weight('wa', '8, 6', 1)}\n${weight('b', '8', 2)}\n${weight('wb', '8, 5', 3)}
         a = Gemm(x, wa, b, transB=1) { name: "first" }
         r = Relu(a)
         y = Gemm(r, wb) { name: "second" }`,
      ),
      { x: [3, 6] },
      [['neurons of first', 8]],
    ],
    [
      'convolutions joined by a concatenation, then split again',
      program(
        '(x: float32[n, 3, 7, 7]) -> (y)',
        `${weight('wa', '4, 3, 3, 3', 1)}\n${weight('wb', '6, 3, 1, 1', 2)}\n${weight('wc', '4, 4, 1, 1', 3)}\n${weight('wd', '4, 6, 1, 1', 4)}
         a = Conv(x, wa, pads=[1, 1, 1, 1]) { name: "a" }
         b = Conv(x, wb) { name: "b" }
         j = Concat(a, b, axis=1)
         r = Relu(j)
         sizes: int64[2] = [4, 6]
         p, q = Split(r, sizes, axis=1)
         c = Conv(p, wc) { name: "c" }
         d = Conv(q, wd) { name: "d" }
         y = Add(c, d)`,
      ),
      { x: [2, 3, 7, 7] },
      [
        ['channels of a', 4],
        ['channels of b', 6],
      ],
    ],
    [
      'a depthwise convolution between two others, normalised',
      program(
        '(x: float32[n, 3, 6, 6]) -> (y)',
        `${weight('wa', '8, 3, 1, 1', 1)}\n${weight('wb', '8, 1, 3, 3', 2)}\n${weight('wc', '4, 8, 1, 1', 3)}
         ${weight('s', '8', 4)}\n${weight('b', '8', 5)}\n${weight('m', '8', 6)}\nv: float32[8] = [1, 2, 1, 2, 1, 2, 1, 2]
         a = Conv(x, wa) { name: "a" }
         n = BatchNormalization(a, s, b, m, v)
         d = Conv(n, wb, group=8, pads=[1, 1, 1, 1]) { name: "depthwise" }
         c = Clip(d)
         g = GlobalAveragePool(c)
         y = Conv(g, wc) { name: "c" }`,
      ),
      { x: [2, 3, 6, 6] },
      [['channels of a', 8]],
    ],
    [
      'a grouped convolution: whole groups go',
      program(
        '(x: float32[n, 3, 5, 5]) -> (y)',
        `${weight('wa', '8, 3, 1, 1', 1)}\n${weight('wb', '12, 2, 3, 3', 2)}\n${weight('wc', '4, 12, 1, 1', 3)}
         a = Conv(x, wa) { name: "a" }
         b = Conv(a, wb, group=4, pads=[1, 1, 1, 1]) { name: "grouped" }
         r = Relu(b)
         y = Conv(r, wc) { name: "c" }`,
      ),
      { x: [2, 3, 5, 5] },
      [['channels of a', 4]],
    ],
    [
      'a transposed convolution',
      program(
        '(x: float32[n, 4, 4, 4]) -> (y)',
        `${weight('wa', '5, 4, 1, 1', 1)}\n${weight('wb', '5, 7, 2, 2', 2)}\n${weight('bb', '7', 4)}\n${weight('wc', '3, 7, 1, 1', 3)}
         a = Conv(x, wa) { name: "a" }
         b = ConvTranspose(a, wb, bb, strides=[2, 2]) { name: "b" }
         y = Conv(b, wc) { name: "c" }`,
      ),
      { x: [2, 4, 4, 4] },
      [
        ['channels of a', 5],
        ['channels of b', 7],
      ],
    ],
    [
      'a picture flattened for a product, channels first',
      program(
        '(x: float32[1, 2, 6, 6]) -> (y)',
        `${weight('wa', '5, 2, 3, 3', 1)}\n${weight('wb', '80, 4', 2)}\nflat: int64[2] = [1, 80]
         a = Conv(x, wa) { name: "a" }
         f = Reshape(a, flat)
         y = MatMul(f, wb) { name: "b" }`,
      ),
      { x: [1, 2, 6, 6] },
      [['channels of a', 5]],
    ],
    [
      'a picture flattened for a product, channels last',
      program(
        '(x: float32[n, 4, 3, 3]) -> (y)',
        `${weight('wa', '5, 4, 1, 1', 1)}\n${weight('wb', '45, 4', 2)}
         a = Conv(x, wa) { name: "a" }
         t = Transpose(a, perm=[0, 2, 3, 1])
         f = Flatten(t)
         y = MatMul(f, wb) { name: "b" }`,
      ),
      { x: [2, 4, 3, 3] },
      [['channels of a', 5]],
    ],
    [
      'channels that are padded, shuffled by a slice and added',
      program(
        '(x: float32[n, 4, 5, 5]) -> (y)',
        `${weight('wa', '4, 4, 1, 1', 1)}\n${weight('wb', '8, 4, 1, 1', 2)}\n${weight('wc', '3, 6, 1, 1', 3)}
         pads: int64[8] = [0, 2, 0, 0, 0, 2, 0, 0]\nfrom: int64[1] = [1]\nto: int64[1] = [7]\naxes: int64[1] = [1]
         a = Conv(x, wa) { name: "a" }
         p = Pad(a, pads)
         b = Conv(a, wb) { name: "b" }
         s = Add(p, b)
         c = Slice(s, from, to, axes)
         y = Conv(c, wc) { name: "c" }`,
      ),
      { x: [2, 4, 5, 5] },
      [
        ['stream of a', 4],
        ['stream of b', 2],
        ['stream of b (2)', 2],
      ],
    ],
    [
      'attention with grouped keys: a key head goes with its queries',
      program(
        '(x: float32[n, s, 12]) -> (y)',
        `${weight('wq', '12, 24', 1)}\n${weight('wk', '12, 12', 2)}\n${weight('wv', '12, 12', 3)}\n${weight('wo', '24, 12', 4)}
         qs: int64[5] = [0, 0, 3, 2, 4]\nks: int64[4] = [0, 0, 3, 4]\nback: int64[3] = [0, 0, 24]\none: int64[1] = [2]
         q = MatMul(x, wq) { name: "q" }
         k = MatMul(x, wk) { name: "k" }
         v = MatMul(x, wv) { name: "v" }
         q5 = Reshape(q, qs)
         q1 = Transpose(q5, perm=[0, 2, 3, 1, 4])
         k4 = Reshape(k, ks)
         kt = Transpose(k4, perm=[0, 2, 3, 1])
         k1 = Unsqueeze(kt, one)
         v4 = Reshape(v, ks)
         vt = Transpose(v4, perm=[0, 2, 1, 3])
         v1 = Unsqueeze(vt, one)
         scores = MatMul(q1, k1)
         p = Softmax(scores, axis=-1)
         c = MatMul(p, v1)
         ct = Transpose(c, perm=[0, 3, 1, 2, 4])
         cr = Reshape(ct, back)
         o = MatMul(cr, wo) { name: "o" }
         y = Add(x, o)`,
      ),
      { x: [2, 5, 12] },
      [['heads of q', 3]],
    ],
    [
      'one product for queries, keys and values, split along its own axis',
      program(
        '(x: float32[n, s, 8]) -> (y)',
        `${weight('w', '8, 24', 1)}\n${weight('b', '24', 2)}\n${weight('wo', '8, 8', 3)}
         heads: int64[5] = [0, 0, 3, 4, 2]\nback: int64[3] = [0, 0, 8]
         zero: int64 = 0\nfirst: int64 = 1\nsecond: int64 = 2
         p = MatMul(x, w) { name: "qkv" }
         pb = Add(p, b)
         h = Reshape(pb, heads)
         t = Transpose(h, perm=[2, 0, 3, 1, 4])
         q = Gather(t, zero)
         k = Gather(t, first)
         v = Gather(t, second)
         kt = Transpose(k, perm=[0, 1, 3, 2])
         scores = MatMul(q, kt)
         a = Softmax(scores)
         c = MatMul(a, v)
         ct = Transpose(c, perm=[0, 2, 1, 3])
         cr = Reshape(ct, back)
         o = MatMul(cr, wo) { name: "o" }
         y = Add(x, o)`,
      ),
      { x: [2, 5, 8] },
      [['heads of qkv', 4]],
    ],
    [
      'fused attention of onnxruntime with grouped keys',
      program(
        '(x: float32[n, s, 16], lengths: int32[n], total: int32) -> (y)',
        `${weight('wq', '16, 32', 1)}\n${weight('wk', '16, 16', 2)}\n${weight('wv', '16, 16', 3)}\n${weight('wo', '32, 16', 4)}
         q = MatMul(x, wq) { name: "q" }
         k = MatMul(x, wk) { name: "k" }
         v = MatMul(x, wv) { name: "v" }
         c = com.microsoft::GroupQueryAttention(q, k, v, _, _, lengths, total, num_heads=4, kv_num_heads=2)
         y = MatMul(c, wo) { name: "o" }`,
      ),
      {},
      [['heads of q', 2]],
    ],
    [
      'a shuffle of channel groups, by two reshapes and a transpose',
      program(
        '(x: float32[n, 3, 4, 4]) -> (y)',
        `${weight('wa', '6, 3, 1, 1', 1)}\n${weight('wb', '5, 6, 1, 1', 2)}
         split: int64[5] = [0, 2, 3, 4, 4]\nback: int64[4] = [0, 6, 4, 4]
         a = Conv(x, wa) { name: "a" }
         s = Reshape(a, split)
         t = Transpose(s, perm=[0, 2, 1, 3, 4])
         b = Reshape(t, back)
         y = Conv(b, wb) { name: "b" }`,
      ),
      { x: [2, 3, 4, 4] },
      [['channels of a', 2]],
    ],
    [
      'a target whose parts are joined at run time',
      program(
        '(x: float32[n, s, 6]) -> (y)',
        `${weight('wa', '6, 8', 1)}\n${weight('wb', '8, 6', 2)}
         zero: int64[1] = [0]\none: int64[1] = [1]\ntwo: int64[1] = [2]\nlast: int64[1] = [8]
         shape = Shape(x)
         n0 = Slice(shape, zero, one)
         s0 = Slice(shape, one, two)
         count = Mul(n0, s0)
         flat = Concat(count, last, axis=0)
         full = Concat(n0, s0, last, axis=0)
         a = MatMul(x, wa) { name: "a" }
         f = Reshape(a, flat)
         r = Relu(f)
         b = Reshape(r, full)
         y = MatMul(b, wb) { name: "b" }`,
      ),
      { x: [2, 3, 6] },
      [['neurons of a', 8]],
    ],
    [
      'a sum over letters',
      program(
        '(x: float32[n, 6]) -> (y)',
        `${weight('wa', '6, 8', 1)}\n${weight('m', '8', 3)}\n${weight('wb', '8, 4', 2)}
         a = MatMul(x, wa) { name: "a" }
         s = Einsum(a, m, equation="ni,i->ni")
         y = MatMul(s, wb) { name: "b" }`,
      ),
      { x: [2, 6] },
      [['neurons of a', 8]],
    ],
    [
      'group normalisation: whole groups go',
      program(
        '(x: float32[n, 3, 4, 4]) -> (y)',
        `${weight('wa', '8, 3, 1, 1', 1)}\n${weight('s', '8', 2)}\n${weight('b', '8', 3)}\n${weight('wb', '5, 8, 1, 1', 4)}
         a = Conv(x, wa) { name: "a" }
         g = GroupNormalization(a, s, b, num_groups=4)
         y = Conv(g, wb) { name: "b" }`,
      ),
      { x: [2, 3, 4, 4] },
      [['channels of a', 4]],
    ],
    [
      'a resize to given sizes',
      program(
        '(x: float32[1, 3, 4, 4]) -> (y)',
        `${weight('wa', '6, 3, 1, 1', 1)}\n${weight('wb', '5, 6, 1, 1', 2)}\nsizes: int64[4] = [1, 6, 8, 8]
         a = Conv(x, wa) { name: "a" }
         r = Resize(a, _, _, sizes, mode="nearest")
         y = Conv(r, wb) { name: "b" }`,
      ),
      { x: [1, 3, 4, 4] },
      [['channels of a', 6]],
    ],
    [
      'branches that give the same channels',
      program(
        '(x: float32[n, 4], c: bool) -> (y)',
        `${weight('wa', '4, 6', 1)}\n${weight('wb', '6, 4', 2)}
         a = MatMul(x, wa) { name: "a" }
         h = If(c, then_branch=graph t() -> (p) { p = Relu(a) }, else_branch=graph e() -> (q) { q = Neg(a) })
         y = MatMul(h, wb) { name: "b" }`,
      ),
      { x: [2, 4], c: [] },
      [['neurons of a', 6]],
    ],
  ];

  it.each(cases)('%s', async (_, given, shapes, expected) => {
    expect(named(given)).toEqual(expected);
    if (Object.keys(shapes).length > 0) expect(await expectDeadChannelsToGo(given, shapes)).toBeGreaterThan(0);
  });

  it('states of a recurrent layer go from all of its gates', async () => {
    const given = program(
      '(x: float32[s, n, 4]) -> (y)',
      `${weight('w', '1, 24, 4', 1)}\n${weight('r', '1, 24, 6', 2)}\n${weight('b', '1, 48', 3)}\n${weight('wd', '6, 5', 4)}
       axis: int64[1] = [1]
       h = LSTM(x, w, r, b, hidden_size=6) { name: "cell" }
       t = Squeeze(h, axis)
       y = MatMul(t, wd) { name: "d" }`,
    );
    const { groups, cut } = findChannelGroups(given);
    expect(groups.map(({ name, kind, count }) => [name, kind, count])).toEqual([['states of cell#0', 'states', 6]]);
    cut(new Map([[groups[0]!.name, [1, 4]]]));
    const node = given.graph.nodes.find(({ op }) => op === 'LSTM')!;
    expect(node.int('hidden_size')).toBe(4);
    expect(node.inputs.slice(1, 4).map((value) => value?.tensor?.shape)).toEqual([
      [1, 16, 4],
      [1, 16, 4],
      [1, 32],
    ]);
  });

  it('a tied weight is cut once for all that read it', () => {
    const given = program(
      '(ids: int64[n, s]) -> (y)',
      `${weight('e', '11, 6', 1)}\n${weight('w', '6, 6', 2)}
       x = Gather(e, ids) { name: "embedding" }
       r = MatMul(x, w) { name: "inner" }
       turned = Transpose(e, perm=[1, 0])
       z = Add(x, r)
       y = MatMul(z, turned) { name: "head" }`,
    );
    const { groups, cut } = findChannelGroups(given);
    expect(groups.map(({ name, count }) => [name, count])).toEqual([['stream of embedding', 6]]);
    cut(new Map([['stream of embedding', [0, 5]]]));
    const shapes = [...given.graph.initializers].map(({ tensor }) => tensor?.shape);
    expect(shapes).toEqual([
      [11, 4],
      [4, 4],
    ]);
  });
});

describe('what cannot go is named with its reason', () => {
  const reasons = (given: Program): (string | number)[][] =>
    findChannelGroups(given).excluded.map(({ site, count, reason }) => [site, count, reason]);

  it('outputs, loops, unknown operators and softmax', () => {
    const given = program(
      '(x: float32[n, 6]) -> (y, z, u)',
      `${weight('wa', '6, 5', 1)}\n${weight('wb', '6, 4', 2)}\n${weight('wc', '4, 4', 3)}\n${weight('wd', '6, 7', 4)}
       y = MatMul(x, wa) { name: "a" }
       b = MatMul(x, wb) { name: "b" }
       p = Softmax(b)
       z = MatMul(p, wc) { name: "c" }
       d = MatMul(x, wd) { name: "d" }
       u = other::Mystery(d)`,
    );
    expect(findChannelGroups(given).groups).toEqual([]);
    expect(reasons(given)).toEqual([
      ['a', 5, 'y is an output of the model'],
      ['b', 4, 'Softmax runs along it'],
      ['c', 4, 'z is an output of the model'],
      ['d', 7, 'no rule follows channels through Mystery'],
    ]);
  });

  it('a group cannot lose all of its channels', () => {
    const given = program(
      '(x: float32[n, 6]) -> (y)',
      `${weight('wa', '6, 5', 1)}\n${weight('wb', '5, 4', 2)}
       a = MatMul(x, wa) { name: "a" }
       y = MatMul(a, wb) { name: "b" }`,
    );
    const { cut } = findChannelGroups(given);
    expect(() => cut(new Map([['neurons of a', [0, 1, 2, 3, 4]]]))).toThrow(CompressError);
  });
});

describe('real models', () => {
  const kinds = (given: Program): Record<string, number> => {
    const counts: Record<string, number> = {};
    for (const { kind } of findChannelGroups(given).groups) counts[kind] = (counts[kind] ?? 0) + 1;
    return counts;
  };

  it.skipIf(!sharedData('llm-stories260k'))(
    'a language model from its checkpoint and from a foreign graph (needs ../shared/data/llm-stories260k)',
    async () => {
      const built = await openModel(sharedData('llm-stories260k')!);
      const foreign = await openModel(sharedData('llm-stories260k', 'model.onnx')!);
      for (const { program: given } of [built, foreign]) {
        expect(kinds(given)).toEqual({ heads: 5, neurons: 5, stream: 1 });
        const some = await expectDeadChannelsToGo(given, { input_ids: [2, 9] }, ({ groups }) => groups.slice(8));
        expect(some).toBeGreaterThan(25_000);
      }
    },
  );

  it.skipIf(!sharedData('llm-stories260k'))(
    'with fused attention, and with caches, whose heads are inputs of the model',
    async () => {
      const fused = await openModel(sharedData('llm-stories260k')!, { fused: true });
      expect(kinds(fused.program)).toEqual({ heads: 5, neurons: 5, stream: 1 });
      const cached = await openModel(sharedData('llm-stories260k')!, { layout: 'generation' });
      const heads = findChannelGroups(cached.program).groups.filter(({ kind }) => kind === 'heads');
      expect(heads.map(({ count }) => count)).toEqual([2, 2, 2, 2, 2]);
      expect(findChannelGroups(cached.program).excluded[1]?.reason).toBe(
        'past_key_values.0.key is an input of the model',
      );
    },
  );

  it.skipIf(!sharedData('vision-cifar10-resnet'))(
    'a residual network whose streams are padded (needs ../shared/data/vision-cifar10-resnet)',
    async () => {
      const { program: given } = await openModel(sharedData('vision-cifar10-resnet', 'resnet20_cifar10.onnx')!);
      expect(kinds(given)).toEqual({ channels: 9, stream: 3 });
      expect(await expectDeadChannelsToGo(given, { input: [1, 3, 32, 32] })).toBeGreaterThan(150_000);
    },
  );

  it.skipIf(!sharedData('vision-squeezenet-imagenet'))(
    'branches that are concatenated (needs ../shared/data/vision-squeezenet-imagenet)',
    async () => {
      const { program: given } = await openModel(sharedData('vision-squeezenet-imagenet', 'squeezenet1.1_fp32.onnx')!);
      expect(kinds(given)).toEqual({ channels: 25 });
      const some = await expectDeadChannelsToGo(given, { data_0: [1, 3, 224, 224] }, ({ groups }) =>
        groups.filter((_, index) => index % 5 === 1),
      );
      expect(some).toBeGreaterThan(10_000);
    },
  );

  it.skipIf(!sharedData('detect-ultraface'))(
    'depthwise convolutions and joined heads (needs ../shared/data/detect-ultraface)',
    async () => {
      const { program: given } = await openModel(sharedData('detect-ultraface', 'version-RFB-320.onnx')!);
      const some = await expectDeadChannelsToGo(given, { input: [1, 3, 240, 320] }, ({ groups }) =>
        groups.filter((_, index) => index % 6 === 0),
      );
      expect(some).toBeGreaterThan(2_000);
    },
  );

  it.skipIf(!sharedData('vision-mnist'))(
    'a network whose product reads a reshaped constant (needs ../shared/data/vision-mnist)',
    async () => {
      const { program: given } = await openModel(sharedData('vision-mnist', 'mnist.onnx')!);
      foldConstants(given);
      expect(kinds(given)).toEqual({ channels: 2 });
      expect(await expectDeadChannelsToGo(given, { Input3: [1, 1, 28, 28] })).toBeGreaterThan(500);
    },
  );

  it.skipIf(!sharedData('audio-silero-vad'))(
    'an encoder in branches; what its recurrent state is joined to stays (needs ../shared/data/audio-silero-vad)',
    async () => {
      const { program: given } = await openModel(sharedData('audio-silero-vad', 'silero_vad.onnx')!);
      expect(kinds(given)).toEqual({ channels: 6, stream: 2 });
    },
  );
});
