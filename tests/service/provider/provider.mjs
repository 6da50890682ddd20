// A real OpenID provider on loopback, for tests: oidc-provider with its own pages to sign in and to
// agree. Whoever signs in there is who they say they are: 'number-bob' is known by that, and called
// 'bob'. All are packagers but eve, and ann is an operator as well.
//
// Usage: node provider.mjs REDIRECT
//
// It prints its address. What it reads from then on, it does from then on:
//   honest      its own answers
//   audience, issuer, nonce, expired, key
//               ID tokens with that one thing wrong, and everything else right
//   astray      a document that would have codes exchanged at another port of this host
// and it prints that word when it has understood it.
import { createSign, generateKeyPairSync } from 'node:crypto';
import { createInterface } from 'node:readline';
import Provider from 'oidc-provider';

const redirect = process.argv[2];
const port = Number(process.argv[3] ?? 0);
const pair = () => generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
const [own, foreign] = [pair(), pair()];
let way = 'honest';

const sign = (header, claims, key) => {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part(header)}.${part(claims)}`;
  return `${text}.${createSign('RSA-SHA256').update(text).sign(key, 'base64url')}`;
};

// A token that the provider made, with one thing wrong.
const bent = (token) => {
  const [header, claims] = token.split('.', 2).map((part) => JSON.parse(Buffer.from(part, 'base64url')));
  const past = Math.floor(Date.now() / 1000) - 3600;
  const changes = {
    audience: { aud: 'other' },
    issuer: { iss: 'http://127.0.0.1:1' },
    nonce: { nonce: 'another' },
    expired: { iat: past - 60, exp: past },
    key: {},
  };
  return sign(header, { ...claims, ...changes[way] }, way === 'key' ? foreign : own);
};

const { createServer } = await import('node:http');
let answer;
const server = createServer((request, response) => answer(request, response));
await new Promise((done) => server.listen(port, '127.0.0.1', done));
const issuer = `http://127.0.0.1:${server.address().port}`;
const client = (client_id) => ({ client_id, client_secret: 'a secret of tests', redirect_uris: [redirect] });
const provider = new Provider(issuer, {
  clients: [client('kiln'), client('other')],
  jwks: { keys: [{ ...own.export({ format: 'jwk' }), alg: 'RS256', use: 'sig' }] },
  cookies: { keys: ['of tests'] },
  claims: { openid: ['sub'], profile: ['preferred_username'], groups: ['groups'] },
  pkce: { required: () => true },
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => {
      const name = id.replace('number-', '');
      const groups = { ann: ['packagers', 'kiln-operators'], eve: [] }[name] ?? ['packagers'];
      return { sub: id, preferred_username: name, groups };
    },
  }),
});
provider.use(async (ctx, next) => {
  await next();
  if (ctx.path === '/token' && ctx.body?.id_token && way !== 'honest') {
    ctx.body.id_token = bent(ctx.body.id_token);
  }
  if (ctx.path === '/.well-known/openid-configuration' && way === 'astray') {
    ctx.body.token_endpoint = 'http://127.0.0.1:1/token';
  }
});
provider.on('server_error', (_, error) => console.error(error));
answer = provider.callback();
console.log(issuer);
for await (const line of createInterface({ input: process.stdin })) {
  way = line.trim();
  console.log(way);
}
process.exit(0);
