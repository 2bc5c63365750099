!> Activation functions of ænet, value and slope together, over whole arrays.
module tf_activation
   use tf_kinds, only : wp, rp => wp, i4, i8
   implicit none
   private
   public :: activate, activate_twice, activation_linear, activation_tanh, activation_sigmoid, activation_mtanh, &
      activation_twist, n_activation

   integer, parameter :: activation_linear = 0, activation_tanh = 1, activation_sigmoid = 2, &
      activation_mtanh = 3, activation_twist = 4
   integer, parameter :: n_activation = 5

   ! Constants of ænet's mtanh and twist, with the digits it has
   real(rp), parameter :: mtanh_height = 1.7159_rp, mtanh_slope = 0.666666666666667_rp
   real(rp), parameter :: twist_slope = 0.1_rp

   ! Numbers at a time, in the nearest cache
   integer, parameter :: strip = 256

contains

   !> Replace the arguments by the function values and give the slopes
   pure subroutine activate(code, n, x, slope)
      !> Which function: 0 linear, 1 tanh, 2 sigmoid, 3 mtanh, 4 twist
      integer, intent(in) :: code
      integer, intent(in) :: n
      !> Arguments in, values out
      real(rp), intent(inout) :: x(n)
      !> Derivative of the value with respect to the argument
      real(rp), intent(out) :: slope(n)
      real(rp) :: argument(strip), stretch, height, rest
      integer :: start, m

      call shape_of(code, stretch, height, rest)
      select case (code)
      case (activation_linear)
         slope = 1.0_rp
      case (activation_tanh)
         call tangents(n, stretch, x, slope)
      case default
         do start = 0, n - 1, strip
            m = min(strip, n - start)
            argument(:m) = x(start + 1:start + m)
            call tangents(m, stretch, x(start + 1), slope(start + 1))
            call give_values(code, m, height, rest, argument, x(start + 1))
            slope(start + 1:start + m) = height*stretch*slope(start + 1:start + m) + rest
         end do
      end select
   end subroutine activate

   !> The same with the second derivatives, for losses that hold derivatives of the networks
   pure subroutine activate_twice(code, n, x, slope, curvature)
      !> As for `activate`
      integer, intent(in) :: code
      integer, intent(in) :: n
      !> Arguments in, values out
      real(rp), intent(inout) :: x(n)
      !> First and second derivative of the value with respect to the argument
      real(rp), intent(out) :: slope(n), curvature(n)
      real(rp) :: argument(strip), stretch, height, rest, bend
      integer :: i, start, m

      if (code == activation_linear) then
         slope = 1.0_rp
         curvature = 0.0_rp
         return
      end if
      call shape_of(code, stretch, height, rest)
      do start = 0, n - 1, strip
         m = min(strip, n - start)
         argument(:m) = x(start + 1:start + m)
         call tangents(m, stretch, x(start + 1), slope(start + 1))
         !$omp simd private(bend)
         do i = start + 1, start + m
            bend = height*stretch*slope(i)
            slope(i) = bend + rest
            curvature(i) = -2.0_rp*stretch*x(i)*bend
         end do
         call give_values(code, m, height, rest, argument, x(start + 1))
      end do
   end subroutine activate_twice

   !> All but the linear function are height·tanh(stretch·x) + rest·x, that of sigmoid + 1/2
   pure subroutine shape_of(code, stretch, height, rest)
      integer, intent(in) :: code
      real(rp), intent(out) :: stretch, height, rest

      stretch = 1.0_rp
      height = 1.0_rp
      rest = 0.0_rp
      select case (code)
      case (activation_sigmoid)
         ! 1/(1 + exp(-x)) = ½(1 + tanh(x/2))
         stretch = 0.5_rp
         height = 0.5_rp
      case (activation_mtanh)
         stretch = mtanh_slope
         height = mtanh_height
      case (activation_twist)
         stretch = mtanh_slope
         height = mtanh_height
         rest = twist_slope
      end select
   end subroutine shape_of

   !> The values; terms that are 0 are left out, for the sake of infinite arguments and of the sign of 0
   pure subroutine give_values(code, n, height, rest, argument, x)
      integer, intent(in) :: code, n
      real(rp), intent(in) :: height, rest, argument(n)
      !> tanh(stretch·argument) in, values out
      real(rp), intent(inout) :: x(n)

      select case (code)
      case (activation_sigmoid)
         x = height*x + 0.5_rp
      case (activation_twist)
         x = height*x + rest*argument
      case (activation_mtanh)
         x = height*x
      end select
   end subroutine give_values

   !> tanh(stretch·x) without branches or library calls, so that it runs in vector registers on any machine.
   !> With stretch·x = k·ln(2)/2 + y, |y| <= ln(2)/4, and tanh y = y·p/q it is (2^k - 1 + (2^k + 1)·y·p/q)/
   !> (2^k + 1 + (2^k - 1)·y·p/q).  p and q are polynomials of y², the best of their degrees: they leave errors of 5e-18,
   !> and 5e-10 in single precision.  Error below 5 ulp; NaN stays NaN.
   pure subroutine tangents(n, stretch, x, slope)
      integer, intent(in) :: n
      real(rp), intent(in) :: stretch
      !> Arguments in, tanh(stretch·x) out
      real(rp), intent(inout) :: x(n)
      !> 1 - tanh²
      real(rp), intent(out) :: slope(n)
      logical, parameter :: is_double = kind(1.0_rp) == wp
      integer, parameter :: ip = merge(i8, i4, is_double), mantissa = digits(1.0_rp) - 1
      integer(ip), parameter :: bias = maxexponent(1.0_rp) - 1
      real(rp), parameter :: two_log2_e = 2.8853900817779268_rp, half_ln2 = 0.34657359027997265_rp
      real(rp), parameter :: saturated = 20.0_rp  ! tanh(20) is 1 in double precision
      ! 1.5·2^52: adding it leaves the nearest integer in the last bits of the mantissa
      real(rp), parameter :: rounder = 1.5_rp*2.0_rp**mantissa
      real(rp) :: limit, z, y, square, p, q, power, less, more, shifted
      integer :: i

      limit = saturated/stretch
      !$omp simd private(z, y, square, p, q, power, less, more, shifted)
      do i = 1, n
         z = merge(limit, x(i), limit < x(i))
         z = stretch*merge(-limit, z, -limit > z)
         shifted = z*two_log2_e + rounder
         y = z - (shifted - rounder)*half_ln2
         square = y*y
         if (is_double) then
            p = 63.019106148537275_rp + square*(7.0013646297920584_rp + square*0.066636371012705585_rp)
            q = 63.019106148537276_rp + square*(28.007733345970644_rp + square)
         else
            p = 2.5005373608421682_rp + square*0.16648834778221776_rp
            q = 2.5005373621734419_rp + square
         end if
         p = y*p
         power = transfer(ishft(transfer(shifted, 0_ip) + bias, mantissa), 1.0_rp)
         less = power - 1.0_rp
         more = power + 1.0_rp
         x(i) = (more*p + less*q)/(more*q + less*p)
         slope(i) = 1.0_rp - x(i)*x(i)
      end do
   end subroutine tangents

end module tf_activation
