#include "net/certificates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "net/test_certificates.h"

namespace gbgreg::net {
namespace {

using testing::HasSubstr;
using testing::Not;

class CertificatesTest : public testing::Test {
 protected:
  // What is said about a pair that is not taken.
  static std::string refusal(const CertificateFiles& files) {
    const auto loaded = Certificates::load(files);
    if (loaded) return "it was taken";
    EXPECT_EQ(loaded.error().code, "bad_certificate");
    return loaded.error().message;
  }

  TestCertificates made_;
};

TEST_F(CertificatesTest, SaysWhichFileIsNoGoodAndWhy) {
  const CertificateFiles good = made_.make("one");
  std::ofstream(made_.path("empty.pem")) << "";
  std::ofstream(made_.path("large.pem")) << std::string(1024 * 1024 + 1, 'x');
  std::ofstream(made_.path("broken.pem")) << "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  ASSERT_TRUE(Certificates::load(good));

  struct Case {
    const char* name;
    CertificateFiles files;
    std::string file_at_fault;
    const char* says;
  };
  const auto at = [this](const char* name) { return made_.path(name); };
  const Case cases[] = {
      {"no certificate file", {at("none.pem"), good.key}, "none.pem: ", "No such file"},
      {"no key file", {good.certificate, at("none.pem")}, "none.pem: ", "No such file"},
      {"a folder", {at("."), good.key}, ".: ", "is not a file"},
      {"a device without an end", {"/dev/zero", good.key}, "/dev/zero: ", "is not a file"},
      {"a file too large", {at("large.pem"), good.key}, "large.pem: ", "more than 1048576 bytes"},
      {"nothing in it", {at("empty.pem"), good.key}, "empty.pem: ", "no certificate in PEM form"},
      {"a broken certificate", {at("broken.pem"), good.key}, "broken.pem: ", "cannot be used"},
      {"the key in the certificate's place", {good.key, good.key}, "key.pem: ", "no certificate in PEM form"},
      {"the certificate in the key's place",
       {good.certificate, good.certificate},
       "certificate.pem: ",
       "no private key"},
      {"no key in it", {good.certificate, at("empty.pem")}, "empty.pem: ", "no private key"},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    const std::string message = refusal(c.files);
    EXPECT_THAT(message, HasSubstr(c.file_at_fault));
    EXPECT_THAT(message, HasSubstr(c.says));
    EXPECT_THAT(message, Not(HasSubstr("PRIVATE")));
  }
}

TEST_F(CertificatesTest, TakesNoKeyOfAnotherCertificate) {
  const CertificateFiles first = made_.make("one");
  std::filesystem::copy_file(first.certificate, made_.path("first.pem"));
  const CertificateFiles second = made_.make("two");
  EXPECT_THAT(refusal({made_.path("first.pem"), second.key}), HasSubstr("does not belong to the certificate"));
}

TEST_F(CertificatesTest, AsksNobodyForAPassphrase) {
  EXPECT_THAT(refusal(made_.make("one", "secret")), HasSubstr("has a passphrase"));
}

TEST_F(CertificatesTest, TakesBothOutOfOneFile) {
  const CertificateFiles files = made_.make("one");
  std::ofstream(made_.path("both.pem")) << std::ifstream(files.key).rdbuf() << std::ifstream(files.certificate).rdbuf();
  EXPECT_TRUE(Certificates::load({made_.path("both.pem"), made_.path("both.pem")}));
}

}  // namespace
}  // namespace gbgreg::net
