import { formatError } from '../errors.ts';
import type { TimedEvent } from '../recipe/events.ts';
import { formatInUnit } from '../report/numbers.ts';
import type { ReporterCard } from './reporter.ts';

type GateEvent = Extract<TimedEvent, { type: 'gate' }>;

const entities: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&apos;',
};

/** Text in XML: characters that XML 1.0 has no way to write become U+FFFD. */
const escapeXml = (text: string): string =>
  text
    .replaceAll(/[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replaceAll(/[&<>"']/g, (character) => entities[character] ?? '');

const attributes = (values: Readonly<Record<string, string | number>>): string =>
  Object.entries(values)
    .map(([name, value]) => ` ${name}="${escapeXml(String(value))}"`)
    .join('');

const gateCase = (event: GateEvent): string => {
  const { gate, dataset, format, passed, found, limit, unit, where } = event;
  const place = where ? { file: where.file, line: where.line } : {};
  const head = `<testcase${attributes({ classname: `gates.${format}`, name: dataset ? `${gate} on ${dataset}` : gate, time: 0, ...place })}`;
  if (passed) return `    ${head}/>`;
  const words = `found ${formatInUnit(found, unit)}, limit ${formatInUnit(limit, unit)}`;
  const position = where ? `\n${where.file}:${where.line}:${where.column}` : '';
  return `    ${head}><failure${attributes({ message: words, type: 'gate' })}>${escapeXml(`${gate} failed for ${format}: ${words}${position}`)}</failure></testcase>`;
};

/** One test case for the run itself, and one for every gate, once the run has ended. */
export const junitReporter: ReporterCard['open'] = (target) => {
  const gates: GateEvent[] = [];
  const lines: string[] = [];
  let name = 'modelpress';
  let durationMs = 0;
  let trouble: string | undefined;
  return {
    listener: (event) => {
      durationMs = event.atMs;
      if (event.type === 'run-started') name = event.recipe;
      else if (event.type === 'gate') gates.push(event);
      else if (event.type === 'message' && event.severity === 'warning') lines.push(`warning: ${event.text}`);
      else if (event.type === 'stage-finished')
        for (const { kind, text, site } of event.findings)
          if (kind !== 'fact') lines.push(`${kind}: ${site ? `${site}: ` : ''}${text}`);
    },
    failed: (error) => {
      trouble = formatError(error);
    },
    close: () => {
      const seconds = (durationMs / 1000).toFixed(3);
      const failures = gates.filter(({ passed }) => !passed).length;
      const counts = { tests: gates.length + 1, failures, errors: trouble === undefined ? 0 : 1, time: seconds };
      const run = `    <testcase${attributes({ classname: 'run', name, time: seconds })}`;
      const first = trouble?.split('\n', 1)[0] ?? '';
      target.write(
        [
          '<?xml version="1.0" encoding="UTF-8"?>',
          `<testsuites${attributes({ name: 'modelpress', ...counts })}>`,
          `  <testsuite${attributes({ name, ...counts })}>`,
          trouble === undefined
            ? `${run}/>`
            : `${run}><error${attributes({ message: first, type: 'run' })}>${escapeXml(trouble)}</error></testcase>`,
          ...gates.map(gateCase),
          ...(lines.length > 0 ? [`    <system-out>${escapeXml(lines.join('\n'))}</system-out>`] : []),
          '  </testsuite>',
          '</testsuites>',
          '',
        ].join('\n'),
      );
    },
  };
};
