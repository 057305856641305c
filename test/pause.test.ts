import { describe, expect, test } from 'vitest';
import { onnxruntimeEngine } from '../src/execution/onnxruntime.ts';
import { parseProgram } from '../src/ir/text/parse.ts';
import { runJob } from '../src/kernels/job.ts';
import { Pause, whenResumed } from '../src/pause.ts';

/** Whether a promise settles before the event loop has turned a few times. */
const settlesSoon = async (promise: Promise<unknown>): Promise<boolean> => {
  let settled = false;
  const mark = (): void => {
    settled = true;
  };
  promise.then(mark, mark);
  for (let turn = 0; turn < 20; turn++) await new Promise((next) => setImmediate(next));
  return settled;
};

describe('a paused signal', () => {
  test('holds native jobs and sessions up until it goes on', async () => {
    const { signal } = new AbortController();
    const program = parseProgram(
      'program opset=21\ngraph main(x: float32[2]) -> (y: float32[2]) {\n  y = Add(x, x)\n}',
    );
    const session = await onnxruntimeEngine.open(program, { signal });
    const pause = Pause.of(signal);
    pause.pause();
    const job = runJob({ signal }, async () => 7);
    const run = session.run(new Map([['x', { dtype: 'float32', shape: [2], data: Float32Array.of(1, 2) }]]));
    expect(await settlesSoon(job)).toBe(false);
    expect(await settlesSoon(run)).toBe(false);
    pause.resume();
    expect(await job).toBe(7);
    expect([...((await run).get('y')?.data ?? [])]).toEqual([2, 4]);
    await session.close();
  });

  test('delays nothing while it is not paused', () => {
    expect(whenResumed(new AbortController().signal)).toBeUndefined();
    expect(whenResumed(undefined)).toBeUndefined();
  });

  test('lets go with an interruption when it is aborted', async () => {
    const controller = new AbortController();
    Pause.of(controller.signal).pause();
    const waiting = whenResumed(controller.signal);
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: 'interrupted' });
    expect(Pause.of(controller.signal).paused).toBe(false);
  });

  test('tells its watchers each turn once, until they leave', () => {
    const pause = Pause.of(new AbortController().signal);
    const told: boolean[] = [];
    const leave = pause.watch((paused) => told.push(paused));
    pause.pause();
    pause.pause();
    pause.resume();
    pause.resume();
    leave();
    pause.pause();
    pause.resume();
    expect(told).toEqual([true, false]);
  });
});
