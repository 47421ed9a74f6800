#pragma once
// A parsed template. Immutable after parsing.

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/text/jinja/value.hpp"

namespace baton::text::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Expr {
  enum class Kind : std::uint8_t {
    kConst,    // value
    kName,     // text
    kList,     // args
    kTuple,    // args
    kDict,     // args: key, value, key, value …
    kUnary,    // text: not + -; args[0]
    kBinary,   // text: + - * / // % ** ; args[0], args[1]
    kCompare,  // args[0], then texts[i] args[i + 1] …
    kAnd,      // args[0], args[1]
    kOr,       // args[0], args[1]
    kConcat,   // args
    kIf,       // args[0] if args[1] else args[2] (may be null)
    kAttr,     // args[0] . text
    kItem,     // args[0] [ args[1] ]
    kSlice,    // args[0..2], each may be null; only inside kItem
    kCall,     // args[0] ( args[1..], kwargs ); spread: *, **
    kFilter,   // args[0] | text ( args[1..], kwargs ); args[0] null in a block filter
    kTest,     // args[0] is text ( args[1..] )
  };
  Kind kind = Kind::kConst;
  int line = 1;
  std::string text;
  Value value;
  std::vector<std::string> texts;
  std::vector<ExprPtr> args;
  std::vector<std::pair<std::string, ExprPtr>> kwargs;
  ExprPtr spread_args, spread_kwargs;
};

struct Stmt;
using Body = std::vector<Stmt>;

struct Stmt {
  enum class Kind : std::uint8_t {
    kData,      // text
    kPrint,     // expr
    kFor,       // target in expr if test: body else other; recursive
    kIf,        // test: body else other (an elif is an if in other)
    kSet,       // target = expr
    kSetBlock,  // target = body through expr (filters, may be null)
    kMacro,     // text (params): body
    kCall,      // expr (a call) with caller(params): body
    kFilter,    // body through expr
    kWith,      // params as assignments: body
    kScope,     // body as it is ({% generation %}, {% autoescape false %})
    kEscape,    // body with autoescape
    kBreak,
    kContinue,
  };
  Kind kind = Kind::kData;
  int line = 1;
  std::string text;
  ExprPtr target, expr, test;
  bool recursive = false;
  bool varargs = false, varkwargs = false;  // the body reads them, so that more arguments may come
  std::vector<std::pair<std::string, ExprPtr>>
      params;                                      // of a macro: name and default (may be null)
  std::vector<std::pair<ExprPtr, ExprPtr>> pairs;  // of with: target and value
  Body body, other;
};

struct Program {
  Body body;
};

}  // namespace baton::text::jinja
