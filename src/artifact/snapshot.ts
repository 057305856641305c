export { loadSnapshot } from './snapshot/load.ts';
export { saveSnapshot } from './snapshot/save.ts';
