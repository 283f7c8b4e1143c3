module alu(input [3:0] a, b, input op, output reg [4:0] y);
  always @* if (op) y = a + b; else y = a & b;
endmodule
