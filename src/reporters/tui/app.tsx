import { Box, Text, useInput, useStdin, useStdout } from 'ink';
import { useEffect, useState } from 'react';
import type { RunControl } from '../reporter.ts';
import type { Style } from '../style.ts';
import type { RunView } from '../view/run-view.ts';
import { composeFrame } from './frame.ts';

interface Size {
  readonly columns: number;
  readonly rows: number;
}

const sizeOf = (stdout: { readonly columns?: number; readonly rows?: number }): Size => ({
  columns: stdout.columns || 80,
  rows: stdout.rows || 24,
});

/** Size of the terminal, also after it has changed. */
const useSize = (): Size => {
  const { stdout } = useStdout();
  const [size, setSize] = useState(() => sizeOf(stdout));
  useEffect(() => {
    const update = (): void => setSize(sizeOf(stdout));
    stdout.on('resize', update);
    return () => {
      stdout.off('resize', update);
    };
  }, [stdout]);
  return size;
};

export interface AppProps {
  readonly view: RunView;
  /** Time of the run at which it is drawn, in milliseconds since it began. */
  readonly nowMs: number;
  readonly style: Style;
  /** Absent where the run is only looked at. */
  readonly control: RunControl | undefined;
  /** Called by the key that leaves a run that is only looked at. */
  readonly leave: () => void;
}

/** A run as it goes on, and the keys that steer it. */
export const App = ({ view, nowMs, style, control, leave }: AppProps) => {
  const size = useSize();
  const { isRawModeSupported } = useStdin();
  const [details, setDetails] = useState(false);
  const [help, setHelp] = useState(false);
  const [stopping, setStopping] = useState(false);
  const [scrolled, setScrolled] = useState(0);

  useInput(
    (input, key) => {
      const furthest = Math.max(0, view.log.length - 1);
      if (input === 'q' || (key.ctrl && input === 'c')) {
        setStopping(true);
        if (control) control.stop();
        else leave();
      } else if (input === 'p') control?.pause();
      else if (input === 'r') control?.resume();
      else if (input === 'd') setDetails((shown) => !shown);
      else if (input === '?') setHelp((shown) => !shown);
      else if (key.upArrow) setScrolled((lines) => Math.min(furthest, lines + 1));
      else if (key.downArrow) setScrolled((lines) => Math.max(0, lines - 1));
    },
    { isActive: isRawModeSupported && !view.finished },
  );

  const lines = composeFrame(view, {
    ...size,
    nowMs,
    style,
    details,
    help,
    stopping: stopping && control !== undefined,
    steered: control !== undefined,
    scrolled,
  });
  return (
    <Box flexDirection="column">
      {lines.map((line, index) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a line is its place on the screen
        <Text key={index} wrap="truncate-end">
          {line === '' ? ' ' : line}
        </Text>
      ))}
    </Box>
  );
};
