import type { PlacementReport } from '../recipe/placement.ts';
import { formatBytes } from '../recipe/quantity.ts';
import type { Style } from '../reporters/style.ts';
import { formatTable } from '../reporters/table.ts';

const percent = (share: number): string => `${(share * 100).toFixed(1)} %`;

const titles = {
  'most-called': 'the experts called most stay',
  'whole-paths-first': 'whole paths first, then those called most',
  'least-recently-used': 'start like the first, then keep what was called last',
} as const;

/** A placement plan in words and tables. */
export const placementText = (placement: PlacementReport, style: Style): string => {
  const { tokens, expertBytes, fastMemoryBytes, transferBandwidth, fastBandwidth, layers, choices } = placement;
  const share = Math.min(1, fastMemoryBytes / Math.max(1, expertBytes));
  return [
    `${style.bold('experts')}  ${formatBytes(expertBytes)} in ${layers.length} sparse layers, ${formatBytes(fastMemoryBytes)} of fast memory hold ${percent(share)} of them; ${tokens} tokens followed`,
    formatTable(
      [
        { title: 'use of the fast memory' },
        ...['hits', 'tokens without a miss', 'missed a token', 'time a token'].map((title) => ({
          title,
          align: 'right' as const,
        })),
      ],
      choices.map(({ name, hitRate, wholeTokens, missedBytes, secondsPerToken }) => [
        titles[name],
        percent(hitRate),
        percent(wholeTokens),
        formatBytes(missedBytes),
        `${(secondsPerToken * 1000).toPrecision(3)} ms`,
      ]),
      style,
    ),
    `Time is that of experts alone: ${formatBytes(fastBandwidth)}/s within the fast device, ${formatBytes(transferBandwidth)}/s to it.`,
    formatTable(
      [
        { title: 'layer', align: 'right' },
        { title: 'even use', align: 'right' },
        { title: 'stay (calls)' },
        { title: 'steps to the next sparse layer' },
      ],
      layers.map(({ block, evenness, residents, calls, steps }) => [
        String(block),
        evenness.toFixed(2),
        residents.map((expert) => `${expert} (${calls[expert]})`).join(', ') || 'none',
        steps
          .map(({ from, to, share: part, lift }) => `${from} → ${to} ${percent(part)} (${lift.toFixed(1)}×)`)
          .join(', '),
      ]),
      style,
    ),
  ].join('\n\n');
};
