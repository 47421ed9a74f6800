#include "formats/openai/error_body.hpp"

#include <gtest/gtest.h>

namespace baton::openai {
namespace {

TEST(ErrorBody, HasTheShapeClientsRead) {
  EXPECT_EQ(
      to_json(error_body(not_found("The model `x` does not exist."))),
      R"({"error":{"message":"The model `x` does not exist.","type":"NotFoundError","param":null,"code":404}})");
}

}  // namespace
}  // namespace baton::openai
