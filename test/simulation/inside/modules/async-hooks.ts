/** A simulated process has no async context: nothing in it reads one. */
export class AsyncResource {
  readonly type: string;

  constructor(type: string) {
    this.type = type;
  }

  static bind<F>(run: F): F {
    return run;
  }

  runInAsyncScope<This, Args extends unknown[], R>(
    run: (this: This, ...args: Args) => R,
    self?: This,
    ...args: Args
  ): R {
    return run.apply(self as This, args);
  }
}
