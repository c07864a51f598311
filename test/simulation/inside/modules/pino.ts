/** The library's default logger. Programs pass one of their own. */
const refuse = (): never => {
  throw new Error('pino is not simulated: pass a logger');
};
export default refuse;
