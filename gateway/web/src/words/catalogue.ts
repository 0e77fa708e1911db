/** A catalogue in another language: the same keys, the same questions. */
export type Same<T> = {
  readonly [K in keyof T]: T[K] extends (...args: infer A) => string ? (...args: A) => string : string;
};
