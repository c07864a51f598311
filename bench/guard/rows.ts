/** The rows of the matrix: every known way to make a hot loop. */
import { callerRows } from './caller-rows.ts';
import { callbackRows, environmentRows } from './environment-rows.ts';
import type { Row } from './bounds.ts';

export const rows: readonly Row[] = [...callerRows, ...callbackRows, ...environmentRows];
