// RFC 9180's vectors for mode PSK over DHKEM(X25519, HKDF-SHA256) and HKDF-SHA256: appendix A.7.2
// (export-only, what sessions use) and A.1.2 (AES-128-GCM, whose id only enters the key schedule).

#include "base/crypto/hpke.h"

#include "tests/support/expect.h"

namespace holdfast::crypto {
namespace {

constexpr std::string_view kPsk =
    "0247fd33b913760fa1fa51e1892d9f307fbe65eb171e8132c2af18555a738b82";
constexpr std::string_view kPskId = "456e6e796e20447572696e206172616e204d6f726961";
constexpr std::string_view kInfo = "4f6465206f6e2061204772656369616e2055726e";

struct Vector {
  uint16_t aead_id;
  std::string_view ephemeral;
  std::string_view recipient_public;
  std::string_view recipient_private;
  std::string_view enc;
  std::string_view exported[3];  // for contexts "", 00, "TestContext"
};

const Vector kVectors[] = {
    {kHpkeAeadExportOnly,
     "1d72396121a6a826549776ef1a9d2f3a2907fc6a38902fa4e401afdb0392e627",
     "d53af36ea5f58f8868bb4a1333ed4cc47e7a63b0040eb54c77b9c8ec456da824",
     "98f304d4ecb312689690b113973c61ffe0aa7c13f2fbe365e48f3ed09e5a6a0c",
     "d3805a97cbcd5f08babd21221d3e6b362a700572d14f9bbeb94ec078d051ae3d",
     {"be6c76955334376aa23e936be013ba8bbae90ae74ed995c1c6157e6f08dd5316",
      "1721ed2aa852f84d44ad020c2e2be4e2e6375098bf48775a533505fd56a3f416",
      "7c9d79876a288507b81a5a52365a7d39cc0fa3f07e34172984f96fec07c44cba"}},
    {kHpkeAeadAes128Gcm,
     "463426a9ffb42bb17dbe6044b9abd1d4e4d95f9041cef0e99d7824eef2b6f588",
     "9fed7e8c17387560e92cc6462a68049657246a09bfa8ade7aefe589672016366",
     "c5eb01eb457fe6c6f57577c5413b931550a162c71a03ac8d196babbd4e5ce0fd",
     "0ad0950d9fb9588e59690b74f1237ecdf1d775cd60be2eca57af5a4b0471c91b",
     {"dff17af354c8b41673567db6259fd6029967b4e1aad13023c2ae5df8f4f43bf6",
      "6a847261d8207fe596befb52928463881ab493da345b10e1dcc645e3b94e2d95",
      "8aff52b45a1be3a734bc7a41e20b4e055ad4c4d22104b0c20285a7c4302401cd"}},
};

Bytes hex(std::string_view text) {
  return from_hex(text).value();
}

PublicKey public_key(std::string_view text) {
  PublicKey out;
  const Bytes raw = hex(text);
  std::copy(raw.begin(), raw.end(), out.begin());
  return out;
}

TEST(Hpke, Rfc9180PskVectors) {
  const Bytes psk = hex(kPsk);
  const Bytes id = hex(kPskId);
  for (const Vector& v : kVectors) {
    const HpkeSuite suite(v.aead_id);
    ASSIGN(const HpkeSender sender,
           suite.setup_psk_sender(public_key(v.recipient_public), hex(kInfo), {psk, id},
                                  Key256(hex(v.ephemeral))));
    EXPECT_EQ(to_hex(sender.enc), v.enc);
    ASSIGN(const HpkeContext receiver,
           suite.setup_psk_receiver(public_key(v.enc), Key256(hex(v.recipient_private)), hex(kInfo),
                                    {psk, id}));
    const Bytes contexts[] = {{}, hex("00"), hex("54657374436f6e74657874")};
    for (size_t i = 0; i < 3; ++i) {
      EXPECT_EQ(to_hex(sender.context.export_secret(contexts[i]).view()), v.exported[i]);
      EXPECT_EQ(to_hex(receiver.export_secret(contexts[i]).view()), v.exported[i]);
    }
  }
}

TEST(Hpke, WhoLacksThePskOrTheInfoDerivesSomethingElse) {
  const Vector& v = kVectors[0];
  const Bytes psk = hex(kPsk);
  const Bytes id = hex(kPskId);
  const HpkeSuite suite;
  const auto derive = [&](const Bytes& p, const Bytes& i, ByteView info) {
    return suite
        .setup_psk_receiver(public_key(v.enc), Key256(hex(v.recipient_private)), info, {p, i})
        .value()
        .export_secret({});
  };
  const Key256 right = derive(psk, id, hex(kInfo));
  Bytes other_psk = psk;
  other_psk[0] ^= 1;
  EXPECT_FALSE(derive(other_psk, id, hex(kInfo)) == right);
  EXPECT_FALSE(derive(psk, hex("00"), hex(kInfo)) == right);
  EXPECT_FALSE(derive(psk, id, hex("00")) == right);
}

}  // namespace
}  // namespace holdfast::crypto
