import { expect, test } from 'vitest';
import type { ConvolutionGeometry } from '../../../src/analysis/convolution.ts';
import { unfoldPatches } from '../../../src/calibration/statistics/unfold.ts';
import { GramAccumulator } from '../../../src/kernels/index.ts';
import { Random } from '../../../src/random.ts';

const geometries: ConvolutionGeometry[] = [
  { kernel: [1, 1], strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0] },
  { kernel: [3, 2], strides: [2, 1], dilations: [1, 2], pads: [1, 0, 2, 1] },
  { kernel: [1, 4], strides: [1, 3], dilations: [1, 1], pads: [0, 2, 0, 0] },
];

test.each(geometries)('unfolded patches have the second moments that the kernel sums: %j', async (geometry) => {
  const [batch, channels, height, width] = [2, 4, 6, 7];
  const data = new Random(1, 'pictures').normals(batch * channels * height * width);
  for (const group of [0, 1]) {
    const { data: x, positions } = unfoldPatches(
      { data, batch, channels, size: [height, width] },
      { geometry, groups: 2, group },
    );
    const columns = 2 * geometry.kernel[0] * geometry.kernel[1];
    expect(x).toHaveLength(positions * columns);
    const [summed, expected] = [new GramAccumulator(columns), new GramAccumulator(columns)];
    await summed.add(x, positions, { exact: true });
    await expected.addPatches(data, { batch, channels, height, width, ...geometry, groups: 2, group }, { exact: true });
    expect(summed.count).toBe(expected.count);
    const wanted = expected.matrix();
    summed.matrix().forEach((value, index) => {
      expect(value).toBeCloseTo(wanted[index]!, 4);
    });
  }
});
