// Known answers from the standards that define each primitive: a library, compiler or processor
// that computes something else must not get as far as anybody's data.

#include <string_view>

#include "base/crypto/aead.h"
#include "base/crypto/curve25519.h"
#include "base/crypto/hkdf.h"
#include "base/crypto/random.h"
#include "base/crypto/scrypt.h"
#include "base/crypto/siphash.h"
#include "tests/support/expect.h"

namespace holdfast::crypto {
namespace {

Bytes hex(std::string_view text) {
  return from_hex(text).value();
}
Key256 key(std::string_view text) {
  return Key256(hex(text));
}
PublicKey public_key(std::string_view text) {
  PublicKey out;
  const Bytes raw = hex(text);
  std::copy(raw.begin(), raw.end(), out.begin());
  return out;
}

TEST(Sha256, Fips180) {
  EXPECT_EQ(to_hex(sha256(as_bytes("abc"))),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(sha256(ByteView{})),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  Sha256 pieces;
  pieces.update(as_bytes("a"));
  pieces.update(as_bytes("bc"));
  EXPECT_EQ(pieces.finish(), sha256(as_bytes("abc")));
  EXPECT_EQ(pieces.finish(), sha256(ByteView{}));  // starts anew
}

TEST(HmacSha256, Rfc4231) {
  EXPECT_EQ(to_hex(HmacSha256(Bytes(20, 0x0b)).mac(as_bytes("Hi There"))),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(to_hex(HmacSha256(as_bytes("Jefe"))
                       .mac({as_bytes("what do ya want "), as_bytes("for nothing?")})),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  // A key longer than a block.
  EXPECT_EQ(to_hex(HmacSha256(Bytes(131, 0xaa))
                       .mac(as_bytes("Test Using Larger Than Block-Size Key - Hash Key First"))),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(Hkdf, Rfc5869Case1) {
  const Key256 prk = hkdf_extract(hex("000102030405060708090a0b0c"), Bytes(22, 0x0b));
  EXPECT_EQ(to_hex(prk.view()), "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5");
  Bytes out(42);
  hkdf_expand(HmacSha256(prk.view()), hex("f0f1f2f3f4f5f6f7f8f9"), out);
  EXPECT_EQ(to_hex(out),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
}

// NIST GCM test case 16 (The Galois/Counter Mode of Operation, McGrew and Viega, appendix B).
TEST(Aes256Gcm, TestCase16) {
  const Key256 k = key("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
  Nonce nonce;
  const Bytes iv = hex("cafebabefacedbaddecaf888");
  std::copy(iv.begin(), iv.end(), nonce.begin());
  const Bytes plain =
      hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e24"
          "49a6b5"
          "25b16aedf5aa0de657ba637b39");
  const Bytes aad = hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
  const Bytes sealed = aes256gcm_seal(k, nonce, aad, plain);
  EXPECT_EQ(
      to_hex(sealed),
      "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056"
      "828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b");
  ASSIGN(const Bytes opened, aes256gcm_open(k, nonce, aad, sealed));
  EXPECT_EQ(opened, plain);

  const ByteView parts[] = {ByteView(plain).first(7), ByteView(plain).subspan(7)};
  Bytes in_parts(sealed.size());
  aes256gcm_seal(k, nonce, aad, parts, in_parts);
  EXPECT_EQ(in_parts, sealed);

  for (size_t i = 0; i < sealed.size(); ++i) {
    Bytes bad = sealed;
    bad[i] ^= 1;
    EXPECT_ERROR(Errc::authentication_failed, aes256gcm_open(k, nonce, aad, bad));
  }
  EXPECT_ERROR(Errc::authentication_failed, aes256gcm_open(k, nonce, {}, sealed));
  EXPECT_ERROR(Errc::authentication_failed, aes256gcm_open(k, nonce, aad, Bytes(15)));
}

// RFC 7748, section 6.1: Bob's keys; agreement with a fresh key on the other side.
TEST(X25519, Rfc7748) {
  const Key256 bob = key("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
  EXPECT_EQ(to_hex(x25519_public(bob)),
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  const Key256 alice = random_secret<32>();
  ASSIGN(const Key256 one, x25519(alice, x25519_public(bob)));
  ASSIGN(const Key256 other, x25519(bob, x25519_public(alice)));
  EXPECT_TRUE(one == other);
}

TEST(X25519, RefusesPointsOfSmallOrder) {
  EXPECT_ERROR(
      Errc::authentication_failed,
      x25519(key("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"), PublicKey{}));
}

TEST(Ed25519, Rfc8032Test2) {
  const Key256 seed = key("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb");
  const PublicKey expected =
      public_key("3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c");
  EXPECT_EQ(ed25519_public(seed), expected);
  const Signature signature = ed25519_sign(seed, hex("72"));
  EXPECT_EQ(
      to_hex(signature),
      "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f1"
      "1d8c387b2eaeb4302aeeb00d291612bb0c00");
  EXPECT_TRUE(ed25519_verify(expected, hex("72"), signature));
  EXPECT_FALSE(ed25519_verify(expected, hex("73"), signature));
  EXPECT_FALSE(ed25519_verify(expected, hex("72"), Bytes(64)));
  EXPECT_FALSE(ed25519_verify(expected, hex("72"), Bytes(10)));
}

TEST(Scrypt, Rfc7914) {
  // N = 16384, r = 8, p = 1; the first half of the RFC's 64-byte answer.
  ASSIGN(const Key256 k, scrypt(as_bytes("pleaseletmein"), as_bytes("SodiumChloride"), {14, 8, 1}));
  EXPECT_EQ(to_hex(k.view()), "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2");
}

TEST(Scrypt, RefusesCostsThatWouldEatTheMachine) {
  EXPECT_ERROR(Errc::limit_exceeded, scrypt(as_bytes("x"), as_bytes("y"), {40, 8, 1}));
  EXPECT_ERROR(Errc::limit_exceeded, scrypt(as_bytes("x"), as_bytes("y"), {17, 4096, 1}));
  EXPECT_ERROR(Errc::limit_exceeded, scrypt(as_bytes("x"), as_bytes("y"), {17, 8, 1000}));
}

// The reference implementation's vectors: key 00..0f, messages 00.. of rising length.
TEST(SipHash24, ReferenceVectors) {
  Bytes k(16);
  for (size_t i = 0; i < k.size(); ++i) k[i] = static_cast<uint8_t>(i);
  const SipKey sip = sip_key(k);
  Bytes message;
  const uint64_t expected[] = {
      0x726fdb47dd0e0e31, 0x74f839c593dc67fd, 0x0d6c8009d9a94f5a, 0x85676696d7fb7e2d,
      0xcf2794e0277187b7, 0x18765564cd99a68d, 0xcbc9466e58fee3ce, 0xab0200f58b01d137,
      0x93f5f5799a932462, 0x9e0082df0ba9e4b0, 0x7a5dbbc594ddb9f3, 0xf4b32f46226bada7,
      0x751e8fbc860ee5fb, 0x14ea5627c0843d90, 0xf723ca908e7af2ee, 0xa129ca6149be45e5};
  for (const uint64_t want : expected) {
    EXPECT_EQ(siphash24(sip, message), want) << message.size();
    message.push_back(static_cast<uint8_t>(message.size()));
  }
}

}  // namespace
}  // namespace holdfast::crypto
