/** The library's default logger. Programs pass their own logger. */
const refuse = (): never => {
  throw new Error('pino is not simulated: pass a logger');
};
export default refuse;
