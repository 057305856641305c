/** A share for people, in three digits: '12.3 %'. */
export const percent = (share: number): string => `${(100 * share).toPrecision(3)} %`;
